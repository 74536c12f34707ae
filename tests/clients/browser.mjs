// Swagger UI as a developer uses it, in Chromium: the key is filled in, conversations are listed, a message is
// sent, and its status is seen to change. Pictures of it are left in the folder that is named.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const { KABAR_URL, KABAR_RECIPIENTS, KABAR_PICTURES, KABAR_CHROMIUM } = process.env;
const browser = await chromium.launch({
  executablePath: KABAR_CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-proxy-server",
  ],
});

const foreign = [];
const faults = [];

async function open() {
  const page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
  page.setDefaultTimeout(20_000);
  page.on("request", (request) => {
    if (!request.url().startsWith(KABAR_URL) && !request.url().startsWith("data:")) foreign.push(request.url());
  });
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (line) => line.type() === "error" && faults.push(line.text()));
  return page;
}

// Opens an operation, fills in what is asked for, executes it, and returns status and body.
async function execute(page, operation, fill) {
  const block = page.locator(`[id$="-${operation}"].opblock`);
  if (!(await block.getAttribute("class")).includes("is-open")) await block.locator(".opblock-summary-control").first().click();
  await fill(block);
  const url = (await block.locator(".opblock-summary-path").getAttribute("data-path")).split("{")[0];
  const answered = page.waitForResponse((response) => response.url().startsWith(KABAR_URL + url));
  await block.getByRole("button", { name: "Execute" }).click();
  const status = (await answered).status();
  const shown = block.locator(".live-responses-table tbody .response-col_status").first();
  await shown.waitFor();
  assert.equal(parseInt(await shown.innerText(), 10), status);
  const body = await block.locator(".live-responses-table tbody .highlight-code code").first().innerText();
  return { status, body: JSON.parse(body) };
}

const parameter = (block, name) => block.locator(`tr[data-param-name="${name}"] input`).first();

try {
  const start = await open();
  await start.goto(`${KABAR_URL}/`);
  await start.locator(".badge.ready").waitFor();
  for (const path of ["/docs", "/v1/openapi.json", "/guides/polling", "/guides/drop-in", "/metrics"]) {
    assert.equal(await start.locator(`a[href="${path}"]`).count(), 1, path);
  }
  await start.screenshot({ path: `${KABAR_PICTURES}/start.png`, fullPage: true });
  await start.locator('a[href="/guides/polling"]').click();
  await start.getByRole("heading", { name: "The loop" }).waitFor();
  await start.screenshot({ path: `${KABAR_PICTURES}/guide.png` });
  console.log("ok start");

  const page = await open();
  await page.goto(`${KABAR_URL}/docs`);
  // The lock of an operation is shut once a key is there.
  await page.locator('[id$="-listConversations"] svg.locked').waitFor();
  await page.screenshot({ path: `${KABAR_PICTURES}/docs.png` });
  console.log("ok authorised");

  const listed = await execute(page, "listConversations", async (block) => {
    await parameter(block, "limit").fill("3");
  });
  assert.equal(listed.status, 200);
  assert(Array.isArray(listed.body.data));
  await page.locator('[id$="-listConversations"].opblock').screenshot({ path: `${KABAR_PICTURES}/list.png` });
  console.log("ok list");

  const to = KABAR_RECIPIENTS.split(",")[0];
  const template = { name: "hello_world", language: { code: "en_US" } };
  const body = { messaging_product: "whatsapp", to, type: "template", template };
  const sent = await execute(page, "sendMessage", async (block) => {
    await block.locator("textarea.body-param__text").fill(JSON.stringify(body, null, 2));
  });
  assert.equal(sent.status, 200);
  assert.equal(sent.body.data.status, "pending");
  console.log("ok send");

  let seen = sent.body.data;
  for (let round = 0; round < 60 && !["delivered", "read"].includes(seen.status); round += 1) {
    const got = await execute(page, "getMessage", async (block) => {
      await parameter(block, "message_id").fill(seen.id);
    });
    assert.equal(got.status, 200);
    seen = got.body.data;
    await page.waitForTimeout(250);
  }
  assert(["delivered", "read"].includes(seen.status), seen.status);
  await page.locator('[id$="-getMessage"].opblock').screenshot({ path: `${KABAR_PICTURES}/status.png` });
  console.log("ok status");

  // A reload has the key still.
  await page.reload();
  await page.locator('[id$="-listConversations"].opblock svg.locked').waitFor();
  assert.deepEqual({ foreign, faults }, { foreign: [], faults: [] });
  console.log("ok offline");
} finally {
  await browser.close();
}
