// The setup of the demo page tests: a browser, a proxy, and the cleanup after each test.
//
// STREAMGATE_BIN        the proxy              (default target/debug/streamgate)
// STREAMGATE_WWW        the folder it serves   (default target/www)
// STREAMGATE_RUNTIMES   where node_modules is  (default target/runtimes)
// STREAMGATE_CHROMIUM   the browser            (default: the first one on PATH)
// STREAMGATE_REDIS_8    a Redis server         (default target/tools/redis-8.2/redis-server)

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { after, afterEach, before } from "node:test";

import { CHROMIUM_FLAGS, Demo, chromiumPath } from "./demo-page.mjs";
import { Proxy, fromTarget } from "./proxy.mjs";

export const www = fromTarget("STREAMGATE_WWW", "www");
const { chromium } = createRequire(path.join(fromTarget("STREAMGATE_RUNTIMES", "runtimes"), "package.json"))("playwright-core");

/** Longest wait for anything on the page. Only a hang takes as long, on any machine. */
const HANG_MS = 5 * 60_000;
/** Longest time of a whole suite. Only a hang takes as long, on any machine. */
export const SUITE_HANG_MS = 30 * 60_000;

let browser;
let proxy;
let streams = 0;
let opened = [];
const servers = [];

before(async () => {
  browser = await chromium.launch({ executablePath: chromiumPath(), args: CHROMIUM_FLAGS });
  proxy = await Proxy.start("--www", www);
});

after(async () => {
  await browser?.close();
  await proxy?.stop();
});

afterEach(async () => {
  const closing = opened;
  opened = [];
  for (const demo of closing) await demo.page.context().close();
  // After the pages, which would report lost connections.
  for (const server of servers.splice(0).reverse()) await server.stop();
  for (const demo of closing) assert.deepEqual(demo.complaints, [], "the page printed errors on its console");
});

/** Waits for a server that is starting, and stops it after the test. */
export async function stoppedAfterTest(starting) {
  const server = await starting;
  servers.push(server);
  return server;
}

/** Opens the page in a new browser context, by default on a new stream, and waits until it is connected. */
export async function open({ stream = `demo-${process.pid}-${(streams += 1)}`, proxy: on = proxy, ...context } = {}) {
  const page = await (await browser.newContext(context)).newPage();
  page.context().setDefaultTimeout(HANG_MS);
  const demo = new Demo(page, stream);
  opened.push(demo);
  await page.goto(`${on.url}/?${new URLSearchParams({ stream })}`);
  await demo.connected();
  return demo;
}
