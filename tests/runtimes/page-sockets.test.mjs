// Closed clients and refused attempts hold no WebSocket in a real Chromium, and the heap does not grow
// with them: the npm package, and the Rust application. demo-setup.mjs lists the environment variables.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, test } from "node:test";

import { CHROMIUM_FLAGS, chromiumPath } from "./demo-page.mjs";
import { Proxy, fromTarget } from "./proxy.mjs";
import { heapIsFlat } from "./sockets-held.mjs";

const runtimes = fromTarget("STREAMGATE_RUNTIMES", "runtimes");
const www = fromTarget("STREAMGATE_WWW", "www");
const { chromium } = createRequire(path.join(runtimes, "package.json"))("playwright-core");

/** Only a hang takes as long, on any machine. */
const HANG_MS = 60_000;

const TIMES = 100;

/** Chromium delays attempts after some that failed. */
const REFUSED_TIMES = 4;

let browser;
let proxy;

before(async () => {
  browser = await chromium.launch({ executablePath: chromiumPath(), args: CHROMIUM_FLAGS });
  proxy = await Proxy.start("--www", www);
});

after(async () => {
  await browser?.close();
  await proxy?.stop();
});

/** Opens a page. `held` counts its sockets after a collection of garbage. */
async function open(t) {
  const page = await (await browser.newContext()).newPage();
  t.after(() => page.context().close());
  page.setDefaultTimeout(HANG_MS);
  await page.route("**/wasm-app/*", (route) =>
    route.fulfill({ path: path.join(runtimes, "wasm-app-web", path.basename(new URL(route.request().url()).pathname)) }),
  );
  await page.goto(`${proxy.url}/icon.svg`);
  const session = await page.context().newCDPSession(page);
  const held = async () => {
    const prototype = await session.send("Runtime.evaluate", { expression: "WebSocket.prototype" });
    // It collects garbage first.
    const { objects } = await session.send("Runtime.queryObjects", { prototypeObjectId: prototype.result.objectId });
    const { result } = await session.send("Runtime.callFunctionOn", {
      objectId: objects.objectId,
      functionDeclaration: "function () { return this.length; }",
      returnByValue: true,
    });
    await session.send("Runtime.releaseObject", { objectId: objects.objectId });
    return result.value;
  };
  const usedBytes = async () => {
    await session.send("HeapProfiler.collectGarbage");
    return (await session.send("Runtime.getHeapUsage")).usedSize;
  };
  return { page, held, usedBytes };
}

/** Waits until no socket is held. */
async function nothingIsHeld(held) {
  const until = Date.now() + HANG_MS;
  let count;
  while ((count = await held()) > 0) assert.ok(Date.now() < until, `${count} sockets are held`);
}

const PAGES = {
  "the npm package": async () => {
    const { connect } = await import("/streamgate/dist/platform/browser.js");
    globalThis.openAndClose = async (url) => (await connect(url)).close();
  },
  "the Rust application": async () => {
    const application = await import("/wasm-app/streamgate_wasm_app.js");
    await application.default();
    globalThis.openAndClose = (url) => application.connect_with_token(url, "token");
  },
};

for (const [what, load] of Object.entries(PAGES)) {
  test(`${what} holds no socket`, async (t) => {
    const { page, held, usedBytes } = await open(t);
    await page.evaluate(load);
    const cycles = (times) =>
      page.evaluate(
        async ([url, times]) => {
          for (let i = 0; i < times; i++) await globalThis.openAndClose(url);
        },
        [proxy.webSocketUrl, times],
      );
    await heapIsFlat(usedBytes, TIMES, cycles);
    await nothingIsHeld(held);
    const refusals = await page.evaluate(
      async ([url, times]) => {
        const refusals = [];
        while (refusals.length < times) await globalThis.openAndClose(url).catch((error) => refusals.push(`${error}`));
        return refusals;
      },
      // The server refuses it. The page's policy allows no other server.
      [`${proxy.webSocketUrl}/nothing`, REFUSED_TIMES],
    );
    for (const text of refusals) assert.match(text, /DISCONNECTED/);
    await nothingIsHeld(held);
  });
}
