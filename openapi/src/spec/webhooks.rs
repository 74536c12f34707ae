//! Documents the request that webhook receivers get.
//!
//! OpenAPI 3.0 has no place for it, so it is under `x-webhooks`, in the form of 3.1's `webhooks`.

use serde_json::{Map, Value, json};

const DESCRIPTION: &str = "\
Answer 2xx within 10 seconds to take the event; do the work afterwards. Every other answer but 4xx, and none, is tried again \
after 10 s, 30 s, 2 min, 10 min, 1 h, 6 h and 24 h (±20 %), longer if `Retry-After` asks for it, up to an hour; 408 and 429 too. \
Other 4xx are final, 410 pauses the subscription, and 24 deliveries given up in a row disable it.

The body is the event, unless the subscription's `format` is `meta`: then `message.received` and `message.status` have the form of Meta's \
own webhooks, with `X-Kirim-Source: meta`.

Events of one contact come in order. An event may come more than once, with the same `X-Kirim-Event-Id`: remember the ids that you \
have dealt with.

Check the signature before anything else: `X-Kirim-Signature` is `t=<unix seconds>,v1=<hex>`, with one `v1` for each secret in force. Each is \
the HMAC-SHA256, keyed by the whole secret (with `whsec_`), of `<t>.<raw body>`. Compare in constant time, and refuse what is older than a \
few minutes. Libraries of Standard Webhooks check `webhook-signature` instead, with the same secret.";

/// Adds the request.
pub(super) fn complete_webhooks(root: &mut Map<String, Value>) {
    let header = |name: &str, description: &str, example: &str| {
        json!({"name": name, "in": "header", "required": true, "description": description,
            "schema": {"type": "string"}, "example": example})
    };
    let parameters = [
        header("X-Kirim-Event", "The event's type.", "message.status"),
        header(
            "X-Kirim-Event-Id",
            "The event's id, or in Meta's form the message's, with the status; equal whenever it is sent again.",
            "evt_01J0QF3Z5W8V9T4KXN2M6PBRHC",
        ),
        header(
            "X-Kirim-Delivery-Id",
            "The delivery's id; equal at every attempt.",
            "wbd_01J0QF3Z5W8V9T4KXN2M6PBRHC",
        ),
        header("X-Kirim-Attempt", "From 1.", "1"),
        header("X-Kirim-Source", "`meta` for a body in Meta's form, else `kirim`.", "kirim"),
        header("X-Kirim-Signature", "See above; made afresh for every attempt.", "t=1782864000,v1=8a35f637…"),
        header(
            "webhook-id",
            "Standard Webhooks: the event's id; equal whenever it is sent again.",
            "evt_01J0QF3Z5W8V9T4KXN2M6PBRHC",
        ),
        header("webhook-timestamp", "Standard Webhooks: Unix seconds of the signature.", "1782864000"),
        header("webhook-signature", "Standard Webhooks: one `v1,<base64>` for each secret.", "v1,i9KEiXmv…"),
    ];
    let meta_form = json!({
        "type": "object",
        "description": "A message or a status in the form of Meta's own webhooks.",
        "required": ["object", "entry", "kirim"],
        "properties": {
            "object": {"type": "string", "enum": ["whatsapp_business_account"]},
            "entry": {"type": "array", "items": {"type": "object"}},
            "kirim": {"type": "object"},
        },
    });
    let forms = json!([{"$ref": "#/components/schemas/Event"}, meta_form]);
    let event = json!({"schema": {"oneOf": forms}});
    let request = json!({
        "summary": "An event",
        "description": DESCRIPTION,
        "tags": ["Webhooks"],
        "operationId": "receiveEvent",
        "security": [],
        "parameters": parameters,
        "requestBody": {"required": true, "content": {"application/json": event}},
        "responses": {
            "2XX": {"description": "Taken."},
            "410": {"description": "Nothing more is wanted: the subscription is paused."},
        },
    });
    root.insert("x-webhooks".to_owned(), json!({"event": {"post": request}}));
}
