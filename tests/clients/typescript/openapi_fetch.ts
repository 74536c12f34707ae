// The loop of an integrator, with openapi-fetch on the types that openapi-typescript makes.

import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/openapi-typescript/schema";

type Message = components["schemas"]["Message"];

const { KABAR_URL, KABAR_KEY, KABAR_NUMBER, KABAR_RECIPIENTS, KABAR_COMPONENT } = process.env as Record<string, string>;
const recipients = KABAR_RECIPIENTS!.split(",");
const client = createClient<paths>({ baseUrl: KABAR_URL, headers: { Authorization: `Bearer ${KABAR_KEY}` } });
const number = { phone_number_id: KABAR_NUMBER! };

async function send(to: string): Promise<Message> {
  const { data, error } = await client.POST("/v1/{phone_number_id}/messages", {
    params: { path: number, header: { "Idempotency-Key": randomUUID() } },
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
  const { data, error } = await client.GET("/v1/{phone_number_id}/conversations", { params: { path: number, query } });
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
let { data: seen, response } = await client.GET("/v1/{phone_number_id}/messages/{message_id}", { params: { path } });
while (seen && !["delivered", "read"].includes(seen.data.status)) {
  assert.notEqual(seen.data.status, "failed");
  const header = { "If-None-Match": response.headers.get("ETag")!, Prefer: "wait=20" };
  const next = await client.GET("/v1/{phone_number_id}/messages/{message_id}", { params: { path, header } });
  assert([200, 304].includes(next.response.status));
  [seen, response] = [next.data ?? seen, next.response];
}
assert(seen);
console.log("ok status");

const one = { ...number, conversation_id: again.conversation_id };
const conversation = await client.GET("/v1/{phone_number_id}/conversations/{conversation_id}", { params: { path: one } });
const tag = conversation.response.headers.get("ETag")!;
const unchanged = await client.GET("/v1/{phone_number_id}/conversations/{conversation_id}", {
  params: { path: one, header: { "If-None-Match": tag } },
});
assert(unchanged.response.status === 304 && unchanged.data === undefined);
console.log("ok unchanged");

const refusal = await client.GET("/v1/{phone_number_id}/messages/{message_id}", {
  params: { path: { ...number, message_id: "msg_00000000000000000000000000" } },
});
assert.equal(refusal.response.status, 404);
assert.equal(refusal.error?.error.code, "resource_not_found");
assert.equal(refusal.error?.error.request_id, refusal.response.headers.get("X-Request-Id"));
console.log("ok error");

const component = await readFile(KABAR_COMPONENT!);
const made = await client.POST("/v1/plugins", { body: { name: "openapi-fetch", config: { template: "sorry" } } });
assert(made.data, JSON.stringify(made.error));
const plugin = { plugin_id: made.data.data.id };
const uploaded = await client.POST("/v1/plugins/{plugin_id}/versions", {
  params: { path: plugin },
  // The types call bytes a string; what is sent are the bytes.
  body: component as unknown as string,
  bodySerializer: (bytes) => bytes,
  headers: { "Content-Type": "application/octet-stream" },
});
assert(uploaded.data, JSON.stringify(uploaded.error));
const version = uploaded.data.data;
assert.equal(version.sha256, createHash("sha256").update(component).digest("hex"));
const active = await client.POST("/v1/plugins/{plugin_id}/activate", {
  params: { path: plugin },
  body: { version_id: version.id },
});
assert.equal(active.data?.data.active_version_id, version.id);
const gone = await client.DELETE("/v1/plugins/{plugin_id}", { params: { path: plugin } });
assert.equal(gone.response.status, 204);
console.log("ok upload");
