"""The loop of an integrator, with the client that openapi-generator makes."""

import hashlib
import os
import uuid
from pathlib import Path

import kabar_client as kabar

NUMBER = os.environ["KABAR_NUMBER"]
RECIPIENTS = os.environ["KABAR_RECIPIENTS"].split(",")

configuration = kabar.Configuration(host=os.environ["KABAR_URL"], access_token=os.environ["KABAR_KEY"])
client = kabar.ApiClient(configuration)
conversations = kabar.ConversationsApi(client)
messages = kabar.MessagesApi(client)
plugins = kabar.PluginsApi(client)


def send(to):
    body = kabar.SendTemplateMessage(
        messaging_product="whatsapp",
        to=to,
        type="template",
        template=kabar.SendTemplate(name="hello_world", language=kabar.TemplateLanguage(code="en_US")),
    )
    return messages.send_message(NUMBER, kabar.SendMessageBody(body), idempotency_key=str(uuid.uuid4())).data


sent = [send(to) for to in RECIPIENTS]
assert {message.status for message in sent} == {kabar.MessageStatus.PENDING}
print("ok send")

first = conversations.list_conversations(NUMBER, limit=2)
assert len(first.data) == 2 and first.has_more and first.request_id.startswith("req_")
print("ok list")

rows, page = list(first.data), first
while page.has_more:
    page = conversations.list_conversations(NUMBER, limit=2, cursor=page.next_cursor)
    rows += page.data
assert len({row.id for row in rows}) == len(rows) >= len(RECIPIENTS)
print("ok page")

newest = max(row.updated_at for row in rows)
assert conversations.list_conversations(NUMBER, updated_since=newest).data == []
again = send(RECIPIENTS[0])
delta = conversations.list_conversations(NUMBER, updated_since=newest).data
assert [row.id for row in delta] == [again.conversation_id]
print("ok delta")

seen = messages.get_message_with_http_info(NUMBER, again.id)
message, tag = seen.data.data, seen.headers["etag"]
while message.status not in (kabar.MessageStatus.DELIVERED, kabar.MessageStatus.READ):
    assert message.status != kabar.MessageStatus.FAILED, message.error
    # The raw answer, because 304 has no message to show.
    raw = messages.get_message_without_preload_content(NUMBER, again.id, if_none_match=tag, prefer="wait=20")
    assert raw.status in (200, 304)
    if raw.status == 200:
        message, tag = kabar.MessageEnvelope.from_json(raw.data.decode()).data, raw.headers["ETag"]
print("ok status")

seen = conversations.get_conversation_with_http_info(NUMBER, again.conversation_id)
raw = conversations.get_conversation_without_preload_content(
    NUMBER, again.conversation_id, if_none_match=seen.headers["etag"]
)
assert raw.status == 304 and raw.data == b""
print("ok unchanged")

try:
    messages.get_message(NUMBER, "msg_00000000000000000000000000")
except kabar.ApiException as refusal:
    error = kabar.Error.from_json(refusal.body).error
    assert (refusal.status, error.code, error.type) == (404, "resource_not_found", "not_found"), error
    assert error.request_id == refusal.headers["X-Request-Id"]
    print("ok error")

component = Path(os.environ["KABAR_COMPONENT"]).read_bytes()
plugin = plugins.create_plugin(kabar.CreatePlugin(name="openapi-generator", config={"template": "sorry"})).data
version = plugins.upload_plugin_version(plugin.id, component).data
assert (version.size, version.sha256) == (len(component), hashlib.sha256(component).hexdigest()), version
active = plugins.activate_plugin_version(plugin.id, kabar.ActivateVersion(version_id=version.id)).data
assert (active.active_version_id, active.status) == (version.id, "active"), active
plugins.delete_plugin(plugin.id)
print("ok upload")
