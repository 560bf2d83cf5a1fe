// Names and values that are not UTF-8, with the npm package on the real proxy and Redis: they reach
// Redis as they are, and come back. And what the package refuses because it cannot be encoded.
//
// STREAMGATE_RUNTIMES   where node_modules is   (default target/runtimes)

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { Proxy, fromTarget } from "./proxy.mjs";

const runtimes = fromTarget("STREAMGATE_RUNTIMES", "runtimes");
const { WebSocket } = createRequire(path.join(runtimes, "package.json"))("ws");
const entry = path.join(runtimes, "node_modules/streamgate/dist/platform/node.js");
const { connect } = await import(pathToFileURL(entry));

const NOT_TEXT = new Uint8Array([0xff, 0xfe, 0x00, 0x80]);
const SHOWN = "\ufffd\ufffd\0\ufffd";
const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, byte) => byte);
/** A byte order mark is part of a text. */
const WITH_MARK = "\ufefftea";

let proxy;
let client;

before(async () => {
  proxy = await Proxy.start();
  client = await connect(proxy.webSocketUrl, { WebSocket });
});

after(async () => {
  await client?.close();
  await proxy?.stop();
});

function check(entry, id) {
  assert.equal(entry.id, id);
  assert.deepEqual(entry.fields.slice(0, 2), [[SHOWN, SHOWN], ["text", WITH_MARK]]);
  assert.equal(entry.get("text"), WITH_MARK);
  assert.deepEqual(entry.getBytes(SHOWN), NOT_TEXT);
  assert.deepEqual(entry.getBytes("all"), ALL_BYTES);
  assert.deepEqual(entry.getBytes("text"), new TextEncoder().encode(WITH_MARK));
  assert.equal(entry.getBytes("none"), undefined);
  assert.deepEqual(entry.toBytes()[0], [NOT_TEXT, NOT_TEXT]);
  assert.equal(entry.toObject()[SHOWN], SHOWN);
}

test("every operation carries bytes", async () => {
  const fields = [[NOT_TEXT, NOT_TEXT], ["text", WITH_MARK], ["all", ALL_BYTES]];
  const id = await client.add(NOT_TEXT, fields);
  check((await client.readLatest(NOT_TEXT, 1))[0], id);
  check((await client.read(NOT_TEXT, "0"))[0], id);
  await client.createGroup(NOT_TEXT, NOT_TEXT, "0");
  check((await client.readGroup(NOT_TEXT, NOT_TEXT, NOT_TEXT))[0], id);
  check((await client.claim(NOT_TEXT, NOT_TEXT, NOT_TEXT, 0)).entries[0], id);
  assert.equal(await client.ack(NOT_TEXT, NOT_TEXT, id), 1);
  for await (const entry of client.tail(NOT_TEXT, { from: "beginning" })) {
    check(entry, id);
    break;
  }
  const deadLetter = new Uint8Array([0xfd]);
  const options = { createFrom: "0", batch: 1, claimAfterMs: 1, maxDeliveries: 1, deadLetter };
  for await (const entry of client.consume(NOT_TEXT, "second", "ann", { createFrom: "0", batch: 1 })) {
    check(entry, id);
    break;
  }
  const rest = client.consume(NOT_TEXT, "second", NOT_TEXT, options);
  const taken = rest[Symbol.asyncIterator]().next();
  for await (const entry of client.tail(deadLetter, { from: "beginning" })) {
    assert.deepEqual(entry.getBytes("all"), ALL_BYTES);
    break;
  }
  await rest[Symbol.asyncDispose]();
  assert.deepEqual(await taken, { done: true, value: undefined });
});

test("a consumer whose name is not UTF-8 is listed and removed", async () => {
  const id = await client.add("removed", { item: "tea" });
  await client.createGroup("removed", "group", "0");
  await client.readGroup("removed", "group", NOT_TEXT);
  const name = { name: SHOWN, nameBytes: NOT_TEXT };
  const summary = await client.pending("removed", "group");
  assert.deepEqual(summary.consumers, [{ ...name, pending: 1 }]);
  const [listed] = await client.consumers("removed", "group");
  assert.deepEqual(listed, { ...name, pending: 1, idleMs: listed.idleMs });
  const [pending] = await client.pendingEntries("removed", "group", { consumer: NOT_TEXT });
  assert.deepEqual(pending, {
    id,
    consumer: SHOWN,
    consumerBytes: NOT_TEXT,
    idleMs: pending.idleMs,
    deliveries: 1,
  });
  assert.equal(await client.removeConsumer("removed", "group", listed.nameBytes, "ann"), 1);
  const left = await client.consumers("removed", "group");
  assert.deepEqual(left.map(({ name, nameBytes }) => [name, nameBytes]), [["ann", undefined]]);
});

test("what UTF-8 cannot encode is refused", async () => {
  for (const lone of ["\ud800", "tea\udc00", "\udc00\ud800"]) {
    const refused = { name: "TypeError", message: /lone surrogate/ };
    await assert.rejects(client.add(lone, { item: "tea" }), refused);
    await assert.rejects(client.add("refused", { [lone]: "tea" }), refused);
    await assert.rejects(client.add("refused", [["item", lone]]), refused);
    await assert.rejects(client.readLatest(lone, 1), refused);
    await assert.rejects(client.createGroup("refused", lone, "0"), refused);
    await assert.rejects(client.removeConsumer("refused", "group", lone, "ann"), refused);
    await assert.rejects(client.pendingEntries("refused", "group", { consumer: lone }), refused);
    assert.throws(() => client.tail(lone), refused);
    assert.throws(() => client.consume("refused", "group", lone), refused);
  }
  assert.deepEqual(await client.readLatest("refused", 1), []);
  assert.equal((await client.add("refused", { pair: "\ud83d\ude00" })).includes("-"), true);
});

test("other values are refused by name", async () => {
  for (const value of [1, null, {}, new ArrayBuffer(1), [1]]) {
    const refused = { name: "TypeError", message: /must be a string or a Uint8Array/ };
    await assert.rejects(client.add("refused", { item: value }), refused);
    await assert.rejects(client.add(value, { item: "tea" }), refused);
  }
});
