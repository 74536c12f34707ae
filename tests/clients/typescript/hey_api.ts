// The loop of an integrator, with the client that hey-api makes.

import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { client } from "./generated/hey-api/client.gen";
import {
  activatePluginVersion,
  createPlugin,
  deletePlugin,
  getConversation,
  getMessage,
  listConversations,
  sendMessage,
  uploadPluginVersion,
} from "./generated/hey-api/sdk.gen";
import type { Message } from "./generated/hey-api/types.gen";

const { KABAR_URL, KABAR_KEY, KABAR_NUMBER, KABAR_RECIPIENTS, KABAR_COMPONENT } = process.env as Record<string, string>;
const recipients = KABAR_RECIPIENTS!.split(",");
client.setConfig({ baseUrl: KABAR_URL as "/", auth: () => KABAR_KEY });
const number = { phone_number_id: KABAR_NUMBER! };

async function send(to: string): Promise<Message> {
  const { data, error } = await sendMessage({
    path: number,
    headers: { "Idempotency-Key": randomUUID() },
    body: {
      messaging_product: "whatsapp",
      to,
      type: "template",
      template: { name: "hello_world", language: { code: "en_US" } },
    },
  });
  assert(data, JSON.stringify(error));
  return data.data;
}

async function pageOf(query: { limit?: number; cursor?: string; updated_since?: string }) {
  const { data, error } = await listConversations({ path: number, query });
  assert(data, JSON.stringify(error));
  return data;
}

for (const to of recipients) assert.equal((await send(to)).status, "pending");
console.log("ok send");

let page = await pageOf({ limit: 2 });
assert(page.data.length === 2 && page.has_more && page.request_id.startsWith("req_"));
console.log("ok list");

const rows = [...page.data];
while (page.next_cursor) {
  page = await pageOf({ limit: 2, cursor: page.next_cursor });
  rows.push(...page.data);
}
assert(new Set(rows.map((row) => row.id)).size === rows.length && rows.length >= recipients.length);
console.log("ok page");

const newest = rows.map((row) => row.updated_at).sort().at(-1)!;
assert.deepEqual((await pageOf({ updated_since: newest })).data, []);
const again = await send(recipients[0]!);
assert.deepEqual((await pageOf({ updated_since: newest })).data.map((row) => row.id), [again.conversation_id]);
console.log("ok delta");

const path = { ...number, message_id: again.id };
let { data: seen, response } = await getMessage({ path });
while (seen && !["delivered", "read"].includes(seen.data.status)) {
  assert.notEqual(seen.data.status, "failed");
  const headers = { "If-None-Match": response!.headers.get("ETag")!, Prefer: "wait=20" };
  const next = await getMessage({ path, headers });
  assert([200, 304].includes(next.response!.status));
  seen = next.response!.status === 200 ? next.data : seen;
  response = next.response;
}
assert(seen);
console.log("ok status");

const one = { ...number, conversation_id: again.conversation_id };
const conversation = await getConversation({ path: one });
const tag = conversation.response!.headers.get("ETag")!;
const unchanged = await getConversation({ path: one, headers: { "If-None-Match": tag } });
assert(unchanged.response!.status === 304 && unchanged.data === undefined);
console.log("ok unchanged");

const refusal = await getMessage({ path: { ...number, message_id: "msg_00000000000000000000000000" } });
assert.equal(refusal.response!.status, 404);
assert.equal(refusal.error?.error.code, "resource_not_found");
assert.equal(refusal.error?.error.request_id, refusal.response!.headers.get("X-Request-Id"));
console.log("ok error");

const component = await readFile(KABAR_COMPONENT!);
const made = await createPlugin({ body: { name: "hey-api", config: { template: "sorry" } } });
assert(made.data, JSON.stringify(made.error));
const plugin = { plugin_id: made.data.data.id };
const uploaded = await uploadPluginVersion({ path: plugin, body: new Blob([new Uint8Array(component)]) });
assert(uploaded.data, JSON.stringify(uploaded.error));
const version = uploaded.data.data;
assert.equal(version.sha256, createHash("sha256").update(component).digest("hex"));
const active = await activatePluginVersion({ path: plugin, body: { version_id: version.id } });
assert.equal(active.data?.data.active_version_id, version.id);
assert.equal((await deletePlugin({ path: plugin })).response!.status, 204);
console.log("ok upload");
