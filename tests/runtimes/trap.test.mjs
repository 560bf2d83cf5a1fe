// A trap of the WebAssembly module: every promise is rejected, and the client is closed.
//
// STREAMGATE_RUNTIMES   where node_modules is   (default target/runtimes)

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";

import { load } from "./fake-module.mjs";
import { Proxy, fromTarget } from "./proxy.mjs";

const runtimes = fromTarget("STREAMGATE_RUNTIMES", "runtimes");
const { WebSocket } = createRequire(path.join(runtimes, "package.json"))("ws");
const module = new WebAssembly.Module(readFileSync(path.join(runtimes, "node_modules/streamgate/dist/streamgate_wasm.wasm")));
const { makeEntryPoints } = await load("client.js");

const INTERNAL = { name: "StreamgateError", code: "INTERNAL", retry: "never" };

let proxy;

before(async () => {
  proxy = await Proxy.start();
});

after(() => proxy?.stop());

/** Returns a client with a waiting read and a tail, its socket, and the exports of its module. */
async function waitingClient() {
  const exports = { ...new WebAssembly.Instance(module).exports };
  const sockets = [];
  class Recorded extends WebSocket {
    constructor(...args) {
      super(...args);
      sockets.push(this);
    }
  }
  const client = await makeEntryPoints(() => ({ exports })).connect(proxy.webSocketUrl, { WebSocket: Recorded });
  const waiting = [client.read("idle", "$", { blockMs: 0 }), client.tail("idle")[Symbol.asyncIterator]().next()];
  await client.readLatest("idle", 1);
  return { client, waiting, socket: sockets[0], exports };
}

const methods = {
  pump: (client) => assert.rejects(client.add("idle", { f: "v" }), INTERNAL),
  request: (client) => assert.rejects(client.readLatest("idle", 1), INTERNAL),
  subscribe: (client) => assert.rejects(client.tail("idle")[Symbol.asyncIterator]().next(), INTERNAL),
  cancel: async (client) => {
    const abort = new AbortController();
    const read = client.read("idle", "$", { blockMs: 0, signal: abort.signal });
    abort.abort();
    await assert.rejects(read, { name: "AbortError" });
  },
  close: (client) => client.close(),
};

for (const [method, action] of Object.entries(methods)) {
  test(`after a trap in ${method} every promise is rejected, and the client is closed`, async () => {
    const { client, waiting, socket, exports } = await waitingClient();
    const closed = once(client, "state");
    const ended = once(socket, "close");
    exports[method] = () => {
      throw new WebAssembly.RuntimeError("unreachable");
    };
    await action(client);
    for (const promise of waiting) await assert.rejects(promise, INTERNAL);
    const [event] = await closed;
    assert.deepEqual([event.state, event.code], ["closed", 1006]);
    assert.match(event.reason, /unreachable/);
    assert.equal(client.state, "closed");
    await ended;
    await assert.rejects(client.readLatest("idle", 1), { code: "CLOSED" });
    await client.close();
  });
}
