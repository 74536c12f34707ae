"""Counts, for each day, what became of messages: `statistics/2026-06-19/delivered` and so on, in the plugin's map.

`kv.add` needs no look at the value, so runs beside each other all count. The totals go to the log with the last
status that a message can have.
"""

from datetime import datetime, timezone

from wit_world.exports import Handler as HandlerProtocol
from wit_world.imports import kv, log
from wit_world.imports.types import Change_MessageStatus, Event, MessageStatus


def day_of(timestamp_ms: int) -> str:
    return datetime.fromtimestamp(timestamp_ms / 1000, timezone.utc).date().isoformat()


class Handler(HandlerProtocol):
    def handle(self, event: Event) -> None:
        if not isinstance(event.change, Change_MessageStatus):
            return
        change = event.change.value
        day = day_of(change.occurred_at)
        kv.add(f"statistics/{day}/{change.status.name.lower()}", 1)
        if change.status == MessageStatus.FAILED and change.message.error is not None:
            kv.add(f"statistics/{day}/failed/{change.message.error.code}", 1)
        log.write(log.Level.INFO, f"{day}: one more {change.status.name.lower()}")
