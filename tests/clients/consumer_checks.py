"""Three consumers of webhooks in Meta's form, run against a server: `consumers/`.

They are the handlers of public consumers of Kirimdev's webhooks, written anew. Each checks both signatures of a delivery, with the
secrets that it knows: the gateway with both that are in force, the bot with the older one, the automation with the newer one.
"""

import base64
import hashlib
import hmac
import json
import os
import queue
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid

NUMBER = "106540352242922"
EVENTS = {
    "gateway": ["message.received"],
    "bot": ["message.received", "message.status"],
    "automation": ["message.received", "message.status", "message.sent", "contact.created", "conversation.closed"],
}
WAIT_S = 60
CALLBACK_DATA = "order 7"



def wamid(peer, part):
    """An id as WhatsApp makes them: of the peer, and of a part that is the message's own."""
    named, own = peer.encode(), part.encode()
    framed = b"\x1c\x18" + bytes([len(named)]) + named + b"\x15\x02\x00\x12\x18" + bytes([len(own)]) + own + b"\x00"
    return "wamid." + base64.b64encode(framed).decode()


# Three customers: a number, a username whose number WhatsApp keeps back, and a press on a button.
AYU = {
    "from": "447700900101",
    "id": wamid("447700900101", "3A77F2E6A1B0C4D5E601"),
    "type": "text",
    "text": {"body": "Is M still there? \u2615"},
}
RINA = {
    "from_user_id": "GB.70000000000000101",
    "id": wamid("GB.70000000000000101", "3A77F2E6A1B0C4D5E602"),
    "type": "text",
    "text": {"body": "Halo"},
}
BUDI = {
    "from": "447700900103",
    "id": wamid("447700900103", "3A77F2E6A1B0C4D5E603"),
    "type": "interactive",
    "interactive": {"type": "button_reply", "button_reply": {"id": "size-m", "title": "Size M"}},
    # A member that no version of this server knows.
    "novelty": {"kept": [True, None, 1.5]},
}
# In another order than the messages.
CARDS = [
    {"wa_id": BUDI["from"], "profile": {"name": "Budi"}},
    {"user_id": RINA["from_user_id"], "profile": {"name": "Rina W.", "username": "rina.w"}},
    {"wa_id": AYU["from"], "profile": {"name": "Ayu Adler"}},
]
NAMES = {AYU["id"]: "Ayu Adler", RINA["id"]: "Rina W.", BUDI["id"]: "Budi"}


class Consumer:
    """A consumer that listens; what it prints is kept in its order."""

    def __init__(self, name, command, environment):
        self.name, self.lines, self.incoming = name, [], queue.Queue()
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()
        self.url = f"http://localhost:{self.wait_for(lambda line: 'listening' in line)['listening']}/webhook"

    def read(self):
        for line in self.process.stdout:
            self.incoming.put(json.loads(line))
        self.incoming.put(None)

    def wait_for(self, wanted):
        """The first line that is wanted, printed or yet to come."""
        for line in list(self.lines):
            if wanted(line):
                return line
        until = time.monotonic() + WAIT_S
        while True:
            try:
                line = self.incoming.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise RuntimeError("\n".join([f"{self.name} printed only:", *map(json.dumps, self.lines)]))
            self.lines.append(line)
            if wanted(line):
                return line

    def all_of(self, key):
        return [line for line in self.lines if key in line]

    def stop(self):
        self.process.kill()
        self.process.wait()


def signatures(secret, event_id, body, seconds):
    """Both signatures, as docs/webhooks.md describes them."""
    kirim = hmac.digest(secret.encode(), f"{seconds}.".encode() + body, "sha256")
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    standard = hmac.digest(key, f"{event_id}.{seconds}.".encode() + body, "sha256")
    return kirim.hex(), base64.b64encode(standard).decode()


def post(url, body, headers):
    request = urllib.request.Request(url, body, headers | {"Content-Type": "application/json"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


class Session:
    """A server, the three consumers, and what became of it."""

    def __init__(self, server, commands, report):
        self.server, self.report = server, report
        self.commands, self.consumers, self.subscriptions, self.secrets = commands, {}, {}, {}

    def subscribe(self):
        for name, events in EVENTS.items():
            # Somewhere, until the consumer listens: it has to know its secret first.
            body = {"url": "http://localhost/webhook", "events": events, "format": "meta"}
            made = self.ask("POST", "/v1/webhook_subscriptions", body)
            subscription = f"/v1/webhook_subscriptions/{made['id']}"
            newer = self.ask("POST", f"{subscription}/secrets", {"expires_in_hours": 24})["secret"]
            older = made["initial_secret"]
            known = {"gateway": [older, newer], "bot": [older], "automation": [newer]}[name]
            environment = {**os.environ, **self.server.environment(), "WEBHOOK_SECRETS": ",".join(known)}
            self.consumers[name] = Consumer(name, self.commands[name], environment)
            self.secrets[name], self.subscriptions[name] = known, made["id"]
            self.ask("PATCH", subscription, {"url": self.consumers[name].url})

    def ask(self, method, path, body=None):
        try:
            return self.server.ask(method, path, self.server.key, body)["data"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def stop(self):
        for consumer in self.consumers.values():
            consumer.stop()

    def check(self, what, condition, said=""):
        self.report(condition, f"consumers: {what}", said)

    def whatsapp_posts(self, value):
        """Posts a webhook as WhatsApp does."""
        metadata = {"display_phone_number": "15550100922", "phone_number_id": NUMBER}
        value = {"messaging_product": "whatsapp", "metadata": metadata, **value}
        entry = {"id": "102290129340398", "changes": [{"field": "messages", "value": value}]}
        body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
        signature = hmac.new(self.server.app_secret.encode(), body, hashlib.sha256).hexdigest()
        status = post(f"{self.server.url}/webhooks/whatsapp", body, {"X-Hub-Signature-256": f"sha256={signature}"})
        if status != 200:
            raise RuntimeError(f"the server answered WhatsApp with {status}")

    def send(self, to, **more):
        template = {"name": "hello_world", "language": {"code": "en_US"}}
        body = {"messaging_product": "whatsapp", "to": to, "type": "template", "template": template, **more}
        return self.ask("POST", f"/v1/{NUMBER}/messages", body)["id"]

    def replay_newest(self, name, event_type):
        query = f"subscription_id={self.subscriptions[name]}&event_type={event_type}&status=delivered&limit=1"
        delivery = self.ask("GET", f"/v1/webhook_deliveries?{query}")[0]["id"]
        self.ask("POST", f"/v1/webhook_deliveries/{delivery}/replay")


def check_forgeries(session, name):
    """A delivery that this file signs passes; one that is wrong in one point is refused, by the signature that is wrong."""
    consumer, secret = session.consumers[name], session.secrets[name][-1]
    event_id, now = f"made-up-{uuid.uuid4()}", int(time.time())
    image = {"id": f"wamid.{event_id}", "from": "447700900199", "type": "image", "image": {"id": "1"}}
    change = {"field": "messages", "value": {"metadata": {"phone_number_id": NUMBER}, "messages": [image]}}
    delivery = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}], "kirim": {}}
    body = json.dumps(delivery).encode()

    def deliver(for_kirim=secret, for_standard=secret, seconds=now, sent=body, swapped=False):
        kirim, _ = signatures(for_kirim, event_id, body, seconds)
        _, standard = signatures(for_standard, event_id, body, seconds)
        if swapped:
            kirim, standard = base64.b64decode(standard).hex(), base64.b64encode(bytes.fromhex(kirim)).decode()
        headers = {"X-Kirim-Event": "message.received", "X-Kirim-Event-Id": event_id, "X-Kirim-Source": "meta"}
        headers |= {"X-Kirim-Signature": f"t={seconds},v1={kirim}", "webhook-id": event_id}
        headers |= {"webhook-timestamp": str(seconds), "webhook-signature": f"v1,{standard}"}
        return post(consumer.url, sent, headers)

    other = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    # Each with the scheme that tells: `X-Kirim-Signature` is looked at first.
    forgeries = [
        ("another secret", "kirim", deliver(for_kirim=other, for_standard=other)),
        ("another secret for X-Kirim-Signature", "kirim", deliver(for_kirim=other)),
        ("another secret for webhook-signature", "standard", deliver(for_standard=other)),
        ("the signatures of each other", "kirim", deliver(swapped=True)),
        ("an old delivery", "kirim", deliver(seconds=now - 900)),
        ("a changed body", "kirim", deliver(sent=body.replace(b"447700900199", b"447700900198"))),
    ]
    taken = [what for what, _, status in forgeries if status != 401]
    session.check(f"{name} refuses what is not signed so", not taken, taken)
    consumer.wait_for(lambda _: len(consumer.all_of("refused")) >= len(forgeries))
    schemes = [line["refused"] for line in consumer.all_of("refused")]
    session.check(f"{name} looks at both signatures", schemes == [scheme for _, scheme, _ in forgeries], schemes)
    session.check(f"{name} takes what is signed by both schemes", deliver() == 200)


def check_received(session):
    """One delivery has one item, as WhatsApp sent it, with its own card."""
    gateway, bot, automation = (session.consumers[name] for name in ("gateway", "bot", "automation"))
    stamp = {"timestamp": str(int(time.time()))}
    items = {item["id"]: item | stamp for item in (AYU, RINA, BUDI)}
    session.whatsapp_posts({"contacts": CARDS, "messages": list(items.values())})
    for wamid, item in items.items():
        told = gateway.wait_for(lambda line, wamid=wamid: line.get("message", {}).get("wamid") == wamid)
        customer = item.get("from") or item["from_user_id"]
        seen, body = told["message"], told["body"]
        session.check(
            f"gateway keeps a session with {NAMES[wamid]}",
            (seen["session"], seen["name"], told["marked"]) == (f"{NUMBER}:{customer}", NAMES[wamid], True),
            told,
        )
        changes = [change for entry in body["entry"] for change in entry["changes"]]
        value = changes[0]["value"]
        own_card = [card for card in CARDS if customer in card.values()]
        whole = len(changes) == 1 and value["messages"] == [item] and value["contacts"] == own_card
        session.check(f"the item of {NAMES[wamid]} is as WhatsApp sent it, with its own card", whole, body)
        check_sibling(session, body["kirim"], wamid, item)
        claimed = automation.wait_for(lambda line, wamid=wamid: "command" in line and line["wamid"] == wamid)
        wanted = item["text"]["body"] if item["type"] == "text" else "size-m"
        session.check(f"automation reads the command of {NAMES[wamid]}", claimed["command"] == wanted, claimed)
    replies = []
    for item in (AYU, RINA):
        told = bot.wait_for(lambda line, item=item: line.get("message", {}).get("wamid") == item["id"])
        session.check(f"bot answers {NAMES[item['id']]}", told["reply"].startswith("msg_"), told)
        replies.append(told["reply"])
    bot.wait_for(lambda line: line.get("skipped") == "not a text")
    return replies


def check_sibling(session, kirim, wamid, item):
    """The sibling names the rows of the API. Of the contact only what the item states: a reply may teach the rest meanwhile."""
    message = session.ask("GET", f"/v1/{NUMBER}/messages/{kirim['message_id']}")
    rows = (message["message_id"], message["conversation_id"], message["contact_id"], kirim["phone_number_id"])
    named = (wamid, kirim["conversation_id"], kirim["contact_id"], NUMBER)
    person = {"name": NAMES[wamid]}
    person |= {"phone_number": f"+{item['from']}"} if "from" in item else {"user_id": item["from_user_id"]}
    contact = session.ask("GET", f"/v1/{NUMBER}/contacts/{kirim['contact_id']}")
    same = all(contact[key] == kirim["contact"][key] == value for key, value in person.items())
    session.check(f"kirim names the rows of {NAMES[wamid]}", rows == named and same, kirim)


def statuses_of(automation, wamid, last):
    """Statuses of one message, once its last one was told."""
    automation.wait_for(lambda line: (line.get("wamid"), line.get("status")) == (wamid, last))
    return [line for line in automation.all_of("status") if line["wamid"] == wamid]


def check_statuses(session, replies, recipient):
    """Each of WhatsApp's statuses comes once, under an id of its own; `sent` too, which changes no status here."""
    automation = session.consumers["automation"]
    ordered = session.send(recipient, biz_opaque_callback_data=CALLBACK_DATA)
    for message in [ordered, *replies]:
        sent = automation.wait_for(lambda line, message=message: line.get("sent") == message)
        row = session.ask("GET", f"/v1/{NUMBER}/messages/{message}")
        session.check("message.sent names both ids", (sent["wamid"], sent["number"]) == (row["message_id"], NUMBER), sent)
        told = statuses_of(automation, row["message_id"], "read")
        session.check(
            "sent, delivered and read come once, each under an id of its own",
            sorted(line["status"] for line in told) == ["delivered", "read", "sent"]
            and len({line["event_id"] for line in told}) == 3,
            told,
        )
        wanted = CALLBACK_DATA if message == ordered else None
        named = {(line["callback_data"], line["message"]) for line in told}
        session.check("they have the client's callback data, and name the message", named == {(wanted, message)}, told)
    # By WhatsApp's answer, before it gave an id; and by a status, after it did.
    refused, undelivered = session.send("+12025132001"), session.send("+12025131026")
    told = statuses_of(automation, refused, "failed")
    session.check("what WhatsApp refused has this server's id", [line["code"] for line in told] == [132001], told)
    automation.wait_for(lambda line: line.get("message") == undelivered and line.get("status") == "failed")
    told = [line for line in automation.all_of("status") if line["message"] == undelivered]
    failed = [(line["code"], line["wamid"].startswith("wamid.")) for line in told if line["status"] == "failed"]
    session.check("what failed later has WhatsApp's id", failed == [(131026, True)], told)


def check_native(session):
    """Events besides messages have Kirimdev's form."""
    automation = session.consumers["automation"]
    for item in (AYU, BUDI):
        automation.wait_for(lambda line, item=item: line.get("phone_number") == f"+{item['from']}" and "flow" in line)
    automation.wait_for(lambda line: line.get("flow") == "chat_started" and line["phone_number"] is None)
    session.check("contacts start flows, with a number or without", True)
    claimed = automation.wait_for(lambda line: line.get("wamid") == AYU["id"])
    conversation = session.ask("GET", f"/v1/{NUMBER}/messages/{claimed['message']}")["conversation_id"]
    session.ask("PATCH", f"/v1/{NUMBER}/conversations/{conversation}", {"status": "resolved"})
    closed = automation.wait_for(lambda line: line.get("flow") == "conversation_closed")
    named = (closed["conversation"], closed["state"])
    session.check("a closed conversation starts a flow", named == (conversation, "resolved"), closed)


def check_replays(session):
    """A delivery that comes again has the ids that it had."""
    types = {"gateway": "message.received", "bot": "message.received", "automation": "message.status"}
    for name, event_type in types.items():
        consumer = session.consumers[name]
        before = consumer.all_of("duplicate")
        session.check(f"{name} had nothing twice", not before, before)
        session.replay_newest(name, event_type)
        again = consumer.wait_for(lambda line: "duplicate" in line)
        session.check(f"{name} knows what comes again", bool(again["duplicate"]), again)


def check(server, commands, recipient, report):
    session = Session(server, commands, report)
    try:
        session.subscribe()
        replies = check_received(session)
        check_statuses(session, replies, recipient)
        check_native(session)
        check_replays(session)
        for name in EVENTS:
            check_forgeries(session, name)
            failed = session.consumers[name].all_of("failed")
            session.check(f"{name} understood everything", not failed, failed)
    except (RuntimeError, LookupError, OSError) as error:
        session.check("to the end", False, f"{type(error).__name__}: {error}")
    finally:
        session.stop()
