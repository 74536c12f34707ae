"""The loop of an integrator, with the client that openapi-python-client makes."""

import hashlib
import io
import os
import uuid
from pathlib import Path

from kabar_python_client import AuthenticatedClient
from kabar_python_client import models as kabar
from kabar_python_client.api.conversations import get_conversation, list_conversations
from kabar_python_client.api.messages import get_message, send_message
from kabar_python_client.api.plugins import (
    activate_plugin_version,
    create_plugin,
    delete_plugin,
    upload_plugin_version,
)
from kabar_python_client.types import File

NUMBER = os.environ["KABAR_NUMBER"]
RECIPIENTS = os.environ["KABAR_RECIPIENTS"].split(",")

client = AuthenticatedClient(base_url=os.environ["KABAR_URL"], token=os.environ["KABAR_KEY"], timeout=60)


def send(to):
    body = kabar.SendTemplateMessage(
        messaging_product=kabar.MessagingProduct.WHATSAPP,
        to=to,
        type_=kabar.SendTemplateMessageType.TEMPLATE,
        template=kabar.SendTemplate(name="hello_world", language=kabar.TemplateLanguage(code="en_US")),
    )
    return send_message.sync(NUMBER, client=client, body=body, idempotency_key=str(uuid.uuid4())).data


def page_of(**query):
    page = list_conversations.sync(NUMBER, client=client, **query)
    assert isinstance(page, kabar.ConversationPage), page
    return page


sent = [send(to) for to in RECIPIENTS]
assert {message.status for message in sent} == {kabar.MessageStatus.PENDING}
print("ok send")

page = page_of(limit=2)
assert len(page.data) == 2 and page.has_more and page.request_id.startswith("req_")
print("ok list")

rows = list(page.data)
while page.has_more:
    page = page_of(limit=2, cursor=page.next_cursor)
    rows += page.data
assert len({row.id for row in rows}) == len(rows) >= len(RECIPIENTS)
print("ok page")

newest = max(row.updated_at for row in rows)
assert page_of(updated_since=newest).data == []
again = send(RECIPIENTS[0])
assert [row.id for row in page_of(updated_since=newest).data] == [again.conversation_id]
print("ok delta")

answer = get_message.sync_detailed(NUMBER, again.id, client=client)
message = answer.parsed.data
while message.status not in (kabar.MessageStatus.DELIVERED, kabar.MessageStatus.READ):
    assert message.status != kabar.MessageStatus.FAILED, message.error
    tag = answer.headers["ETag"]
    answer = get_message.sync_detailed(NUMBER, again.id, client=client, if_none_match=tag, prefer="wait=20")
    message = answer.parsed.data if answer.status_code == 200 else message
print("ok status")

seen = get_conversation.sync_detailed(NUMBER, again.conversation_id, client=client)
tag = seen.headers["ETag"]
unchanged = get_conversation.sync_detailed(NUMBER, again.conversation_id, client=client, if_none_match=tag)
assert unchanged.status_code == 304 and unchanged.parsed is None
print("ok unchanged")

refusal = get_message.sync_detailed(NUMBER, "msg_00000000000000000000000000", client=client)
error = refusal.parsed.error
assert (refusal.status_code, error.code, error.type_) == (404, "resource_not_found", "not_found"), error
assert error.request_id == refusal.headers["X-Request-Id"]
print("ok error")

component = Path(os.environ["KABAR_COMPONENT"]).read_bytes()
named = kabar.CreatePlugin(name="openapi-python-client", config={"template": "sorry"})
plugin = create_plugin.sync(client=client, body=named).data
version = upload_plugin_version.sync(plugin.id, client=client, body=File(payload=io.BytesIO(component))).data
assert (version.size, version.sha256) == (len(component), hashlib.sha256(component).hexdigest()), version
active = activate_plugin_version.sync(plugin.id, client=client, body=kabar.ActivateVersion(version_id=version.id)).data
assert (active.active_version_id, active.status) == (version.id, kabar.PluginStatus.ACTIVE), active
assert delete_plugin.sync_detailed(plugin.id, client=client).status_code == 204
print("ok upload")
