"""A gateway between the chats of a business and an agent, as a public consumer of Kirimdev's webhooks works.

It reads each message of each change in Meta's form, keeps one session for each business number and customer, takes an event once
by `X-Kirim-Event-Id`, and marks messages as read. What it understood it prints, one JSON object a line.
"""

import base64
import hashlib
import hmac
import json
import os
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

URL, KEY = os.environ["KABAR_URL"], os.environ["KABAR_KEY"]
# Business numbers that the agent looks after, by their ids.
NUMBERS = os.environ["KABAR_NUMBER"].split(",")
SECRETS = os.environ["WEBHOOK_SECRETS"].split(",")
TOLERANCE_S = 300
BODY_BYTES_MAX = 1_000_000

lock = threading.Lock()
seen = set()


def tell(**what):
    with lock:
        print(json.dumps(what), flush=True)


def is_recent(seconds):
    return seconds.isdecimal() and abs(time.time() - int(seconds)) <= TOLERANCE_S


def has_kirim_signature(headers, body):
    """`t=<seconds>,v1=<hex>[,v1=<hex>…]`, keyed by the whole text of a secret."""
    pairs = [part.strip().partition("=")[::2] for part in headers.get("X-Kirim-Signature", "").split(",")]
    seconds = next((value for name, value in pairs if name == "t"), "")
    if not is_recent(seconds):
        return False
    signed = seconds.encode() + b"." + body
    expected = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in SECRETS]
    given = [value for name, value in pairs if name == "v1"]
    return any(hmac.compare_digest(one, other) for one in expected for other in given)


def has_standard_signature(headers, body):
    """Standard Webhooks: `v1,<base64>[ v1,<base64>…]`, keyed by the bytes that a secret encodes."""
    message, seconds = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message or not is_recent(seconds):
        return False
    signed = f"{message}.{seconds}.".encode() + body
    keys = [base64.b64decode(secret.removeprefix("whsec_"), validate=True) for secret in SECRETS]
    expected = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys]
    given = [part.removeprefix("v1,") for part in headers.get("webhook-signature", "").split() if part.startswith("v1,")]
    return any(hmac.compare_digest(one, other) for one in expected for other in given)


def text_of(message):
    kind = message.get("type", "unknown")
    if kind == "text":
        return message["text"]["body"]
    if kind == "button":
        return message["button"].get("text") or message["button"].get("payload", "")
    if kind == "interactive":
        reply = message["interactive"].get("button_reply") or message["interactive"].get("list_reply") or {}
        return reply.get("title") or reply.get("id", "")
    return ""


def customer_of(message):
    """The number's digits; the user id of a customer whose number WhatsApp keeps back."""
    digits = "".join(filter(str.isdecimal, message.get("from") or ""))
    return digits or message.get("from_user_id", "")


def names_in(value):
    """Profile names by every id that a card has."""
    cards = value.get("contacts", [])
    return {card[key]: card.get("profile", {}).get("name", "") for card in cards for key in ("wa_id", "user_id") if card.get(key)}


def messages_in(body):
    if body.get("object") != "whatsapp_business_account":
        return
    for entry in body["entry"]:
        for change in entry["changes"]:
            value = change["value"]
            number = value.get("metadata", {}).get("phone_number_id")
            if change["field"] != "messages" or number not in NUMBERS:
                continue
            names = names_in(value)
            for message in value.get("messages", []):
                customer = customer_of(message)
                if customer:
                    name = names.get(message.get("from")) or names.get(message.get("from_user_id"), "")
                    yield number, customer, name, message


def mark_as_read(number, wamid):
    """Shows the customer that the agent is about to answer. Best effort: the message counts without it."""
    body = {"messaging_product": "whatsapp", "status": "read", "message_id": wamid, "typing_indicator": {"type": "text"}}
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{URL}/v1/{number}/messages", json.dumps(body).encode(), headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20):
            return True
    except OSError:
        return False


def read_delivery(headers, body):
    event, event_id = headers.get("X-Kirim-Event"), headers.get("X-Kirim-Event-Id")
    if event != "message.received" or headers.get("X-Kirim-Source") != "meta":
        tell(skipped=event)
        return
    with lock:
        first = event_id not in seen
        seen.add(event_id)
    if not first:
        tell(duplicate=event_id)
        return
    parsed = json.loads(body)
    for number, customer, name, message in messages_in(parsed):
        told = {"session": f"{number}:{customer}", "name": name, "text": text_of(message), "wamid": message["id"]}
        marked = mark_as_read(number, message["id"])
        tell(message=told, event_id=event_id, marked=marked, body=parsed)


class Webhook(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_BYTES_MAX:
            return self.answer(413)
        body = self.rfile.read(length)
        for scheme, holds in (("kirim", has_kirim_signature), ("standard", has_standard_signature)):
            if not holds(self.headers, body):
                tell(refused=scheme)
                return self.answer(401)
        self.answer(200)
        read_delivery(self.headers, body)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
tell(listening=server.server_port)
server.serve_forever()
