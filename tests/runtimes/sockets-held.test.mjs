// Closed clients, refused attempts and lost connections hold no WebSocket, and the heap does not grow
// with them: the npm package in Node.js and workerd, and the Rust application in Node.js.
// page-sockets.test.mjs tests both in Chromium.
//
// STREAMGATE_RUNTIMES   where node_modules and the application are   (default target/runtimes)

import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { Proxy, fromTarget } from "./proxy.mjs";
import { beRefused, collected, counting, heapIsFlat, openAndClose } from "./sockets-held.mjs";
import { startWorker } from "./workerd.mjs";

const runtimes = fromTarget("STREAMGATE_RUNTIMES", "runtimes");
const require = createRequire(path.join(runtimes, "package.json"));
const { WebSocket } = require("ws");
const { connect } = await import(pathToFileURL(path.join(runtimes, "node_modules/streamgate/dist/platform/node.js")));

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc");

/** Only a hang takes as long, on any machine. */
const HANG_MS = 60_000;

const TIMES = 100;

let proxy;
/** The address of a server that was stopped. */
let stopped;

before(async () => {
  proxy = await Proxy.start();
  const other = await Proxy.start();
  stopped = other.webSocketUrl;
  await other.stop();
});

after(() => proxy?.stop());

describe("the npm package in Node.js", () => {
  async function usedBytes() {
    // Finalizers run between collections.
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      gc();
    }
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  }

  for (const [what, cycles, url] of [
    ["closed clients", openAndClose, () => proxy.webSocketUrl],
    ["refused attempts", beRefused, () => stopped],
  ]) {
    test(`${what} hold no socket`, async () => {
      const counted = counting(WebSocket);
      const options = { WebSocket: counted.WebSocket };
      await heapIsFlat(usedBytes, TIMES, (times) => cycles(connect, url(), options, times));
      assert.equal(counted.opened, 2 * TIMES);
      assert.equal(await collected(gc, counted.held, 0, HANG_MS), 0);
    });
  }

  test("a client holds no socket of a lost connection or a failed attempt", async () => {
    const server = await Proxy.start();
    const counted = counting(WebSocket);
    const client = await connect(server.webSocketUrl, { WebSocket: counted.WebSocket });
    await server.kill();
    while (counted.opened < 4) await once(client, "state");
    assert.ok((await collected(gc, counted.held, 1, HANG_MS)) <= 1, "at most the socket that is being opened");
    await client.close();
    assert.equal(await collected(gc, counted.held, 0, HANG_MS), 0);
  });
});

test("the npm package in workerd holds no socket", async (t) => {
  const worker = await startWorker(t, "sockets-held-worker.mjs", ["--expose-gc"]);
  const query = new URLSearchParams({ server: proxy.webSocketUrl, stopped, times: "20", hangMs: `${HANG_MS}` });
  const response = await fetch(`${worker}?${query}`);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  assert.deepEqual(JSON.parse(text), { opened: 40, held: 0 });
});

describe("the Rust application in Node.js", () => {
  let counted;
  let application;

  before(() => {
    counted = counting(WebSocket);
    globalThis.WebSocket = counted.WebSocket;
    application = require("./wasm-app/streamgate_wasm_app.js");
  });

  test("it holds no socket", async () => {
    for (let i = 0; i < TIMES; i++) {
      await application.connect_with_token(proxy.webSocketUrl, "token");
      await assert.rejects(application.connect_with_token(stopped, "token"), /DISCONNECTED/);
    }
    assert.equal(counted.opened, 2 * TIMES);
    assert.equal(await collected(gc, counted.held, 0, HANG_MS), 0);
  });
});
