//! Settings of the times for which rows are kept.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::reader::SettingsReader;

/// Times for which rows are kept.
#[derive(Debug, Clone)]
pub struct RetentionSettings {
    /// Time that events are kept.
    pub events: Duration,
    /// Time that messages are kept; `None`: for ever.
    pub messages: Option<Duration>,
    /// Time that items as they came from WhatsApp are kept.
    pub raw: Duration,
    /// Time that entries of the audit log are kept; `None` for ever.
    pub audit: Option<Duration>,
}

impl RetentionSettings {
    pub(super) fn read(from: &mut SettingsReader) -> Option<Self> {
        const DAYS: RangeInclusive<u64> = 1..=3_650;
        let days = |days: u64| Duration::from_secs(days * 86_400);
        // The former name of `retention.events_days`; it gives way to it.
        let former = from.optional_count("events.retention_days", DAYS);
        let events = from.read_count("retention.events_days", DAYS);
        let events = if from.is_given("retention.events_days") { events } else { former.or(events) };
        let messages = from.optional_count("retention.messages_days", DAYS).map(days);
        let raw = from.read_count("retention.raw_days", DAYS);
        let audit = from.optional_count("retention.audit_days", 1..=36_500).map(days);
        Some(Self { events: days(events?), messages, raw: days(raw?), audit })
    }
}
