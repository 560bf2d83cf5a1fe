// The client in a Rust application compiled to wasm (tests/wasm-app), in Node.js with the real
// proxy.
//
// STREAMGATE_RUNTIMES   where node_modules and the application are   (default target/runtimes)

import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, test } from "node:test";

import { Proxy, fromTarget } from "./proxy.mjs";
import { decode, encode } from "./spec-client.mjs";

const require = createRequire(path.join(fromTarget("STREAMGATE_RUNTIMES", "runtimes"), "package.json"));
const { WebSocket, WebSocketServer } = require("ws");
globalThis.WebSocket = WebSocket;
const {
  run,
  two_clients: twoClients,
  read_with_tokens: readWithTokens,
  connect_with_token: connectWithToken,
} = require("./wasm-app/streamgate_wasm_app.js");

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

/** A server that accepts one token and refuses others, and whose streams are empty. */
async function serverThatAccepts(token) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "streamgate.v1.bin" });
  await once(server, "listening");
  const received = [];
  server.on("connection", (socket) => {
    const send = (message) => socket.send(encode("server", "bin", [message]));
    socket.on("message", (data) => {
      for (const { hello, request } of decode("client", "bin", new Uint8Array(data))) {
        if (hello) {
          received.push(hello.token);
          if (hello.token !== token) return socket.close(4401);
          const limits = { max_in_flight: 16384, max_frame_bytes: 16777216, heartbeat_ms: 15000 };
          send({ welcome: { server: "test/1", features: [], ...limits, identity: { subject: "ann" } } });
        }
        if (request) send({ reply: { id: request.id, outcome: { ok: { entries: { entries: [], more: false } } } } });
      }
    });
  });
  const url = `ws://127.0.0.1:${server.address().port}/v1/ws`;
  return { url, received, stop: () => server.close() };
}

test("a Rust application has tokens on demand", async () => {
  const server = await serverThatAccepts("second");
  const tokens = ["first", "second"];
  const forced = [];
  const issue = async (force) => (forced.push(force), tokens.shift());
  assert.equal(await readWithTokens(server.url, issue), 0);
  assert.deepEqual(forced, [false, true]);
  assert.deepEqual(server.received, ["first", "second"]);
  await assert.rejects(readWithTokens(server.url, () => Promise.reject(new Error("signed out"))), /NOAUTH/);
  server.stop();
});

test("a Rust application has one token, which is not sent without encryption to other machines", async () => {
  const server = await serverThatAccepts("fixed");
  await connectWithToken(server.url, "fixed");
  await assert.rejects(connectWithToken(server.url, "other"), /NOAUTH/);
  assert.deepEqual(server.received, ["fixed", "other"]);
  await assert.rejects(connectWithToken("ws://192.0.2.1/v1/ws", "fixed"), /^CONFIG /);
  server.stop();
});
