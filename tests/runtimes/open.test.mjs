// `open` of the npm package gives a client at once, and `connect` with `retry` waits for a server that
// starts later: with the real proxy.
//
// STREAMGATE_RUNTIMES   where node_modules is   (default target/runtimes)

import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { FakeModule, load } from "./fake-module.mjs";
import { Proxy, fromTarget } from "./proxy.mjs";

const runtimes = fromTarget("STREAMGATE_RUNTIMES", "runtimes");
const { WebSocket } = createRequire(path.join(runtimes, "package.json"))("ws");
const { connect, open } = await import(pathToFileURL(path.join(runtimes, "node_modules/streamgate/dist/platform/node.js")));
const { makeEntryPoints } = await load("client.js");

/** Returns a server that was started on a free port, and stopped. */
async function stoppedServer(t) {
  const server = await Proxy.start();
  await server.stop();
  t.after(() => server.stop());
  return server;
}

/** Returns a constructor of sockets, and a promise of the first attempt that fails. */
function watched() {
  let report;
  const refused = new Promise((resolve) => (report = resolve));
  class Watched extends WebSocket {
    constructor(...values) {
      super(...values);
      this.once("error", report);
    }
  }
  return { WebSocket: Watched, refused };
}

test("a client that was opened before its server queues calls and tails, in their order", async (t) => {
  const server = await stoppedServer(t);
  const { WebSocket, refused } = watched();
  const client = open(server.webSocketUrl, { WebSocket });
  assert.equal(client.state, "connecting");
  const first = client.add("s", { n: "1" });
  const tailed = client.tail("s", { from: "beginning" })[Symbol.asyncIterator]().next();
  const second = client.add("s", { n: "2" });
  await refused;
  assert.equal(client.state, "connecting");
  await server.start();
  const ids = await Promise.all([first, second]);
  assert.equal((await tailed).value.id, ids[0]);
  assert.deepEqual((await client.readLatest("s", 2)).map(({ id }) => id), ids.reverse());
  assert.equal(client.state, "open");
  await client.close();
});

test("connect with retry waits for its server, and without it rejects", async (t) => {
  const server = await stoppedServer(t);
  await assert.rejects(connect(server.webSocketUrl, { WebSocket }), { code: "DISCONNECTED" });
  const watcher = watched();
  const connecting = connect(server.webSocketUrl, { WebSocket: watcher.WebSocket, retry: true });
  await watcher.refused;
  await server.start();
  const client = await connecting;
  assert.equal(client.state, "open");
  await client.close();
});

test("a client can be closed or aborted before it is connected", async (t) => {
  const server = await stoppedServer(t);
  const closed = open(server.webSocketUrl, { WebSocket });
  const rejected = assert.rejects(closed.add("s", { n: "1" }), { code: "CLOSED" });
  await Promise.all([closed.close({ timeoutMs: 0 }), rejected]);
  const aborted = open(server.webSocketUrl, { WebSocket });
  const ended = once(aborted, "state");
  aborted.abort();
  assert.equal((await ended)[0].state, "closed");
  await assert.rejects(aborted.add("s", { n: "1" }), { code: "CLOSED" });
});

test("wrong arguments of open throw at once", () => {
  for (const [url, options, error] of [
    ["not a url", {}, { code: "CONFIG" }],
    [5, {}, TypeError],
    ["ws://localhost", { retry: false }, /unknown option 'retry'/],
    ["ws://other.example", { token: "t" }, { code: "CONFIG" }],
  ]) {
    assert.throws(() => open(url, options), error);
  }
});

test("calls before the module is loaded are bounded, and fail if it cannot be loaded", async () => {
  const failure = new Error("no module");
  const failing = makeEntryPoints(() => Promise.reject(failure));
  const client = failing.open("ws://localhost", { WebSocket });
  const queued = Array.from({ length: 2 ** 16 }, () => client.readLatest("s", 1));
  const last = client.readLatest("s", 1);
  const tailed = client.tail("s")[Symbol.asyncIterator]().next();
  await assert.rejects(last, { code: "OVERLOADED", retry: "later" });
  await assert.rejects(tailed, { code: "OVERLOADED" });
  for (const request of queued) await assert.rejects(request, { code: "INTERNAL" });
  assert.equal(client.state, "closed");
  await assert.rejects(failing.connect("ws://localhost", { WebSocket }), failure);
});

test("a signal that aborts in the turn in which the client opens rejects connect", async () => {
  const module = new FakeModule("open");
  const controller = new AbortController();
  const reason = new Error("enough");
  let aborts = 0;
  const exports = {
    ...module.exports,
    abort: () => void (aborts += 1),
    pump: () => {
      // Between the state's entry and what awaits it.
      queueMicrotask(() => controller.abort(reason));
      return module.exports.pump();
    },
  };
  const { connect } = makeEntryPoints(() => ({ exports }));
  await assert.rejects(connect("ws://localhost", { WebSocket: module.WebSocket, signal: controller.signal }), reason);
  assert.equal(aborts, 1);
});

test("calls before the module is loaded are made in their order", async () => {
  const module = new FakeModule("open");
  const client = makeEntryPoints(() => module).open("ws://localhost", { WebSocket: module.WebSocket });
  const first = client.readLatest("s", 1);
  client.tail("t");
  void client.readLatest("u", 1).catch(() => {});
  assert.deepEqual(module.newCalls, []);
  while (client.state !== "open") await once(client, "state");
  const streams = module.newCalls.map(([call, , content]) => [call, Object.values(content)[0].stream]);
  assert.deepEqual(streams, [["request", "s"], ["subscribe", "t"], ["request", "u"]]);
  module.finish(1, { ok: { entries: { entries: [], last_id: null, more: false } } });
  assert.deepEqual(await first, []);
});
