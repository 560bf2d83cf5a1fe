// The client in a Rust application compiled to wasm (tests/wasm-app), in Node.js with the real
// proxy.
//
// STREAMGATE_RUNTIMES   where node_modules and the application are   (default target/runtimes)

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, test } from "node:test";

import { Proxy, fromTarget } from "./proxy.mjs";

const require = createRequire(path.join(fromTarget("STREAMGATE_RUNTIMES", "runtimes"), "package.json"));
globalThis.WebSocket = require("ws").WebSocket;
const { run, two_clients: twoClients } = require("./wasm-app/streamgate_wasm_app.js");

let proxy;

before(async () => {
  proxy = await Proxy.start();
});

after(() => proxy?.stop());

test("a Rust application uses every operation and both subscriptions", async () => {
  const seen = await run(proxy.webSocketUrl, "app");
  assert.deepEqual(seen.split("\n"), [
    "found: true",
    "woken: true",
    "empty: 0",
    "taken: true",
    "again: BUSYGROUP",
    "in order: true",
    "followed: true",
    "consumed: true",
    "closed: CLOSED",
  ]);
});

test("two clients with the same settings both add", async () => {
  assert.equal(await twoClients(proxy.webSocketUrl, "two clients"), 2);
});

test("without a server connecting fails with DISCONNECTED, with an invalid address with CONFIG", async () => {
  const stopped = await Proxy.start();
  const { webSocketUrl } = stopped;
  await stopped.stop();
  await assert.rejects(run(webSocketUrl, "app"), /DISCONNECTED/);
  await assert.rejects(run("http://no", "app"), /^CONFIG /);
});
