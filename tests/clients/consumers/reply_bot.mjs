// A chat bot that answers texts, as a public consumer of Kirimdev's webhooks works: it reads `entry[0].changes[0].value`, answers
// at once, and replies afterwards. It takes an event once by `webhook-id`. What it understood it prints, one JSON object a line.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const { KABAR_URL, KABAR_KEY } = process.env;
// The one in force, and during a change the other one.
const secrets = process.env.WEBHOOK_SECRETS.split(",");
const toleranceSeconds = 300;
const seen = new Set();

const tell = (what) => console.log(JSON.stringify(what));
const isRecent = (seconds) => /^\d+$/.test(seconds) && Math.abs(Date.now() / 1000 - Number(seconds)) <= toleranceSeconds;
const equal = (one, other) => one.length === other.length && timingSafeEqual(one, other);

function sign(key, prefix, body) {
  return createHmac("sha256", key).update(prefix).update(body).digest();
}

// `t=<seconds>,v1=<hex>[,v1=<hex>…]`, keyed by the whole text of a secret.
function hasKirimSignature(headers, body) {
  const parts = String(headers["x-kirim-signature"] ?? "").split(",").map((part) => part.trim());
  const seconds = parts.find((part) => part.startsWith("t="))?.slice(2) ?? "";
  const given = parts.filter((part) => part.startsWith("v1=")).map((part) => Buffer.from(part.slice(3), "hex"));
  return isRecent(seconds) && secrets.some((secret) => given.some((one) => equal(one, sign(secret, `${seconds}.`, body))));
}

// Standard Webhooks: `v1,<base64>[ v1,<base64>…]`, keyed by the bytes that a secret encodes.
function hasStandardSignature(headers, body) {
  const { "webhook-id": id, "webhook-timestamp": seconds = "", "webhook-signature": signatures = "" } = headers;
  const given = signatures.split(" ").filter((part) => part.startsWith("v1,")).map((part) => Buffer.from(part.slice(3), "base64"));
  const keys = secrets.map((secret) => Buffer.from(secret.replace(/^whsec_/, ""), "base64"));
  const matches = (key) => given.some((one) => equal(one, sign(key, `${id}.${seconds}.`, body)));
  return Boolean(id) && isRecent(seconds) && keys.some(matches);
}

function incomingText({ entry, kirim }) {
  const value = entry?.[0]?.changes?.[0]?.value;
  const message = value?.messages?.[0];
  if (message?.type !== "text") return null;
  return {
    number: kirim.phone_number_id,
    // Customers whose number WhatsApp keeps back are written to by their user id.
    customer: message.from || message.from_user_id,
    name: value.contacts?.[0]?.profile?.name,
    text: message.text.body,
    wamid: message.id,
    conversation: kirim.conversation_id,
    contact: kirim.contact_id,
  };
}

async function reply({ number, customer, text, wamid }) {
  const answer = await fetch(`${KABAR_URL}/v1/${number}/messages`, {
    method: "POST",
    headers: { Authorization: `Bearer ${KABAR_KEY}`, "Content-Type": "application/json", "Idempotency-Key": wamid },
    body: JSON.stringify({
      messaging_product: "whatsapp",
      to: customer,
      type: "text",
      context: { message_id: wamid },
      text: { body: `You wrote: ${text}` },
    }),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(JSON.stringify(body));
  return body.data.id;
}

async function readDelivery(headers, body) {
  const event = headers["x-kirim-event"];
  if (event !== "message.received") return tell({ skipped: event });
  const id = headers["webhook-id"];
  if (seen.has(id)) return tell({ duplicate: id });
  seen.add(id);
  const incoming = incomingText(JSON.parse(body));
  if (!incoming) return tell({ skipped: "not a text" });
  return tell({ message: incoming, event_id: headers["x-kirim-event-id"], reply: await reply(incoming) });
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  for (const [scheme, holds] of [["kirim", hasKirimSignature], ["standard", hasStandardSignature]]) {
    if (!holds(request.headers, body)) {
      tell({ refused: scheme });
      return response.writeHead(401).end();
    }
  }
  response.writeHead(200).end();
  await readDelivery(request.headers, body).catch((error) => tell({ failed: String(error) }));
});

server.listen(0, "127.0.0.1", () => tell({ listening: server.address().port }));
