// Tokens of a page in a real Chromium, on the real server: twenty lives of a token, a tab that is
// frozen past its token's end, a page of another origin, and a name that was rebound. demo-setup.mjs
// lists the environment variables.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { CHROMIUM_FLAGS, chromiumPath } from "./demo-page.mjs";
import { LIFE_MS, mint, serveWithTokens } from "./issuer.mjs";
import { fromTarget } from "./proxy.mjs";

const www = fromTarget("STREAMGATE_WWW", "www");
const { chromium } = createRequire(path.join(fromTarget("STREAMGATE_RUNTIMES", "runtimes"), "package.json"))("playwright-core");

/** As many tokens as the page lives through. */
const LIVES = 20;

/** Only a hang takes as long, on any machine. */
const HANG_MS = 5 * 60_000;

/** A name of somebody else, which resolves to this machine. */
const REBOUND = "rebound.example";

let browser;
let server;

before(async () => {
  const args = [...CHROMIUM_FLAGS, `--host-resolver-rules=MAP ${REBOUND} 127.0.0.1`];
  browser = await chromium.launch({ executablePath: chromiumPath(), args });
  server = await serveWithTokens({}, "--www", www, "--admin-listen", "127.0.0.1:0");
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Opens a page that is connected as `ann`, and tails and adds once `run()` is called. */
async function open(t, stream) {
  const issued = [];
  const page = await (await browser.newContext()).newPage();
  t.after(() => page.context().close());
  page.setDefaultTimeout(HANG_MS);
  await page.exposeFunction("fetchToken", (force) => {
    issued.push(force);
    return mint("ann");
  });
  await page.goto(`${server.url}/icon.svg`);
  await page.evaluate(
    async ([url, stream]) => {
      const { connect } = await import("/streamgate/dist/platform/browser.js");
      const states = [];
      // On a busy machine the first tokens may end before the server reads them.
      const token = ({ force }) => globalThis.fetchToken(force);
      const client = await connect(url, { token, retry: true });
      client.addEventListener("state", ({ state, code }) => states.push(`${state} ${code ?? ""}`.trim()));
      const received = [];
      const tailing = (async () => {
        for await (const entry of client.tail(stream, { from: "beginning" })) {
          const number = entry.get("number");
          if (number === "end") return;
          received.push(Number(number));
        }
      })();
      let added = 0;
      let running = true;
      const adding = (async () => {
        while (running) {
          await client.add(stream, { number: `${added}` });
          added += 1;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        await client.add(stream, { number: "end" });
      })();
      globalThis.finish = async () => {
        running = false;
        await Promise.all([adding, tailing]);
        return { added, received, states };
      };
    },
    [server.webSocketUrl, stream],
  );
  return { page, issued };
}

/** Checks that the tail received what was added, in order, once. */
function assertComplete({ added, received }) {
  assert.ok(added > 0);
  assert.deepEqual(received, Array.from({ length: added }, (_, number) => number));
}

test("a page renews its token twenty times while it tails and adds", { timeout: HANG_MS }, async (t) => {
  const { page, issued } = await open(t, "ann:lives");
  while (issued.length < LIVES) await pause(LIFE_MS / 4);
  const result = await page.evaluate(() => globalThis.finish());
  assertComplete(result);
  // On a busy machine a token may end before its renewal: then the page reconnects.
  assert.ok(!result.states.some((state) => state.startsWith("closed")), `${result.states}`);
});

test("a tab that was frozen past its token's end comes back with a fresh one", { timeout: HANG_MS }, async (t) => {
  const { page, issued } = await open(t, "ann:frozen");
  const devtools = await page.context().newCDPSession(page);
  // Chromium freezes hidden tabs only, and headless ones are not. The debugger stops its scripts and
  // timers, too, while the socket stays open.
  await devtools.send("Debugger.enable");
  const stopped = new Promise((resolve) => devtools.once("Debugger.paused", resolve));
  await devtools.send("Debugger.pause");
  await stopped;
  const before = issued.length;
  await pause(3 * LIFE_MS);
  assert.equal(issued.length, before, "a frozen page asks for nothing");
  await devtools.send("Debugger.resume");
  while (issued.length === before) await pause(LIFE_MS / 20);
  const result = await page.evaluate(() => globalThis.finish());
  assertComplete(result);
  assert.ok(!result.states.some((state) => state.startsWith("closed")), `${result.states}`);
});

/** Opens a socket from a page at this address. Returns whether it opened, and how often the server refused, by reason. */
async function tryToConnect(t, pageUrl, socketUrl) {
  const page = await (await browser.newContext()).newPage();
  t.after(() => page.context().close());
  await page.goto(pageUrl);
  const refusals = async () =>
    new Map([...(await server.metrics())].filter(([name]) => name.startsWith("streamgate_refusals_total")));
  const before = await refusals();
  const outcome = await page.evaluate(
    (url) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url, "streamgate.v1.bin");
        socket.onopen = () => resolve("open");
        socket.onclose = ({ code }) => resolve(code);
      }),
    socketUrl,
  );
  const changed = [...(await refusals())].filter(([name, count]) => count !== (before.get(name) ?? 0));
  return { outcome, refusals: changed.map(([name, count]) => [name.match(/reason="(\w+)"/)[1], count - (before.get(name) ?? 0)]) };
}

test("the server's own page opens a socket, and a page of another origin is refused for its origin", { timeout: HANG_MS }, async (t) => {
  const other = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html>"));
  await new Promise((listening) => other.listen(0, "127.0.0.1", listening));
  t.after(() => other.close());
  const own = await tryToConnect(t, `${server.url}/icon.svg`, server.webSocketUrl);
  assert.deepEqual(own, { outcome: "open", refusals: [] });
  const foreign = await tryToConnect(t, `http://127.0.0.1:${other.address().port}/`, server.webSocketUrl);
  assert.deepEqual(foreign, { outcome: 1006, refusals: [["foreign_origin", 1]] });
});

test("a name that was rebound to this machine gives no socket and no page", { timeout: HANG_MS }, async (t) => {
  // The page came from the attacker's own machine, before the name was rebound.
  const rebound = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html>"));
  await new Promise((listening) => rebound.listen(0, "127.0.0.1", listening));
  t.after(() => rebound.close());
  const socketUrl = new URL(server.webSocketUrl);
  socketUrl.hostname = REBOUND;
  const outcome = await tryToConnect(t, `http://${REBOUND}:${rebound.address().port}/`, socketUrl.href);
  assert.deepEqual(outcome, { outcome: 1006, refusals: [["unknown_host", 1]] });
  const page = await (await browser.newContext()).newPage();
  t.after(() => page.context().close());
  const address = new URL(`${server.url}/icon.svg`);
  assert.equal((await page.goto(address.href)).status(), 200);
  address.hostname = REBOUND;
  assert.equal((await page.goto(address.href)).status(), 403);
});
