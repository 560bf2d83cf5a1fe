// Wrong arguments of the npm package cause a TypeError that names them, and the client sends nothing.
// With a fake wasm module.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FakeModule, load } from "./fake-module.mjs";

const { makeEntryPoints } = await load("client.js");
const { Entry } = await load("entry.js");

async function start(options) {
  const module = new FakeModule("open");
  const { connect } = makeEntryPoints(() => module);
  const client = await connect("ws://localhost", { WebSocket: module.WebSocket, ...options });
  return { client, module };
}

/** Calls, and what the message of each must contain. */
const WRONG = [
  [(c) => c.ack("s", "g", 5), /^the id of an entry must be a string, not 5$/],
  [(c) => c.ack("s", "g", {}), /^the id of an entry must be a string, not Object$/],
  [(c) => c.ack("s", "g", undefined), /^the id of an entry must be a string, not undefined$/],
  [(c) => c.ack("s", "g", null), /^the id of an entry must be a string, not null$/],
  [(c) => c.ack("s", "g", { id: 5 }), /^the id of an entry must be a string, not 5$/],
  [(c) => c.ack("s", "g", ["1-0", 5]), /^the id of an entry must be a string, not 5$/],
  [(c) => c.ack("s", "g", [["1-0"]]), /^the id of an entry must be a string, not Array$/],
  [(c) => c.ack("s", "g", "1-0", "2-0"), /^options must be an object, not '2-0'$/],
  [(c) => c.add("s", { price: 5 }), /^the value of field 'price' must be a string or a Uint8Array, not 5$/],
  [(c) => c.add("s", [["price", null]]), /^the value of field 'price' must be .*, not null$/],
  [(c) => c.add("s", { "\ud800": "x" }), /^the name of a field must be without a lone surrogate/],
  [(c) => c.add("s", [[5, "x"]]), /^the name of a field must be .*, not 5$/],
  [(c) => c.add("s", ["price", "5"]), /^a field must be a pair of name and value, not 'price'$/],
  [(c) => c.add("s", [["price", "5", "6"]]), /^a field must be a pair of name and value, not Array$/],
  [(c) => c.add("s", { price: Object.create(null) }), /^the value of field 'price' must be .*, not object$/],
  [(c) => c.add("s", "price"), /^fields must be .*, not 'price'$/],
  [(c) => c.add("s", () => {}), /^fields must be .*, not Function$/],
  [(c) => c.add(5, { a: "b" }), /^stream must be a string or a Uint8Array, not 5$/],
  [(c) => c.add(Symbol("s"), { a: "b" }), /^stream must be .*, not Symbol\(s\)$/],
  [(c) => c.add("s", { a: "b" }, { maxLen: 5 }), /^unknown option 'maxLen'; did you mean 'maxlen'\?$/],
  [(c) => c.add("s", { a: "b" }, { maxlen: "5" }), /^maxlen must be a whole number .*, not '5'$/],
  [(c) => c.add("s", { a: "b" }, 5), /^options must be an object, not 5$/],
  [(c) => c.add("s", { a: "b" }, null), /^options must be an object, not null$/],
  [(c) => c.readLatest("s", -1), /^count must be a whole number .*, not -1$/],
  [(c) => c.readLatest("s", 2n), /^count must be a whole number .*, not 2$/],
  [(c) => c.readLatest("s", 1, new AbortController().signal), /^unknown option '\w+'; did you mean 'signal'\?$/],
  [(c) => c.readLatest("s", 1, { signal: new AbortController() }), /^signal must be an AbortSignal, not AbortController$/],
  [(c) => c.read("s", 0), /^lastId must be a string, not 0$/],
  [(c) => c.read("s", "0", { block: 5 }), /did you mean 'blockMs'\?/],
  [(c) => c.read("s", "0", { timeout: 5 }), /^unknown option 'timeout'/],
  [(c) => c.read("s", "0", { toString: 5 }), /^unknown option 'toString'/],
  [(c) => c.read("s", "0", { blockMs: Infinity }), /^blockMs must be a whole number .*, not Infinity$/],
  [(c) => c.createGroup("s", "g"), /^id must be a string, not undefined$/],
  [(c) => c.readGroup("s", "g", "c", { max: 5 }), /^unknown option 'max'/],
  [(c) => c.pending("s", "g", { count: 5 }), /^unknown option 'count'; did you mean 'signal'\?$/],
  [(c) => c.pendingEntries("s", "g", { minIdleTime: 5 }), /did you mean 'minIdleMs'\?/],
  [(c) => c.claim("s", "g", "c", { count: 5 }), /^minIdleMs must be a whole number .*, not Object$/],
  [(c) => c.claim("s", "g", "c", 5, { limit: 5 }), /^unknown option 'limit'/],
  [(c) => c.removeConsumer("s", "g", "c"), /^newOwner must be .*, not undefined$/],
  [(c) => c.consumers("s", "g", { group: "g" }), /^unknown option 'group'/],
  [async (c) => c.tail("s", { form: "now" }), /did you mean 'from'\?/],
  [async (c) => c.tail("s", { from: 5 }), /^from must be .*, not 5$/],
  [async (c) => c.tail("s", { from: { last: "5" } }), /^from.last must be a whole number .*, not '5'$/],
  [async (c) => c.tail("s", { onGap: "throw" }), /^onGap must be a function, not 'throw'$/],
  [async (c) => c.tail("s", { onSkipped: 1 }), /^onSkipped must be a function, not 1$/],
  [async (c) => c.tail("s", { signal: new AbortController() }), /^signal must be an AbortSignal/],
  [async (c) => c.consume("s", "g", "c", { claimAfter: 5 }), /did you mean 'claimAfterMs'\?/],
  [async (c) => c.consume("s", "g", "c", { createFrom: 0 }), /^createFrom must be a string, not 0$/],
  [async (c) => c.consume("s", "g", "c", 5), /^options must be an object, not 5$/],
];

test("a wrong argument is a TypeError that says what was given, and sends nothing", async () => {
  const { client, module } = await start();
  for (const [call, message] of WRONG) {
    await assert.rejects(call(client), { name: "TypeError", message }, `${call}`);
  }
  assert.deepEqual(module.newCalls, []);
});

test("an acknowledgement takes entries and ids, one or several", async () => {
  const { client, module } = await start();
  const entry = new Entry("1-0", [["a", "b"]]);
  for (const [ids, sent] of [
    [entry, ["1-0"]],
    ["2-0", ["2-0"]],
    [[entry, "2-0"], ["1-0", "2-0"]],
    [new Set(["2-0", entry]), ["2-0", "1-0"]],
    [{ id: "3-0", consumer: "c", idleMs: 0, deliveries: 1 }, ["3-0"]],
    [[], []],
  ]) {
    const acknowledged = client.ack("s", "g", ids);
    const [[, id, operation]] = module.newCalls;
    assert.deepEqual(operation, { ack: { stream: "s", group: "g", ids: sent } });
    module.finish(id, { ok: { acknowledged: { count: sent.length } } });
    assert.equal(await acknowledged, sent.length);
  }
});

test("the name of a field to get is a string", () => {
  const entry = new Entry("1-0", [["a", "b"]]);
  assert.deepEqual([entry.get("a"), entry.get("b"), entry.getBytes("b")], ["b", undefined, undefined]);
  const wrong = { name: "TypeError", message: /^name must be a string, not (5|Uint8Array)$/ };
  for (const name of [5, new Uint8Array([97])]) {
    assert.throws(() => entry.get(name), wrong);
    assert.throws(() => entry.getBytes(name), wrong);
  }
});

test("wrong options of connect are TypeErrors", async () => {
  for (const [options, message] of [
    [{ tokn: "t" }, /^unknown option 'tokn'; did you mean 'token'\?$/],
    [{ timeoutMs: 5 }, /did you mean 'connectTimeoutMs'\?/],
    [{ websocket: class {} }, /did you mean 'WebSocket'\?/],
    [{ exactlyOnce: "no" }, /^exactlyOnce must be a boolean, not 'no'$/],
    [{ token: 5 }, /^token must be a string or a function, not 5$/],
    [{ WebSocket: "ws" }, /^WebSocket must be a constructor, not 'ws'$/],
    [{ signal: new AbortController() }, /^signal must be an AbortSignal, not AbortController$/],
    [{ connectTimeoutMs: "5" }, /^connectTimeoutMs must be a whole number .*, not '5'$/],
  ]) {
    await assert.rejects(start(options), { name: "TypeError", message }, JSON.stringify(options));
  }
  const { connect } = makeEntryPoints(() => new FakeModule("open"));
  await assert.rejects(connect(undefined), { name: "TypeError", message: /^url must be .*, not undefined$/ });
  await assert.rejects(connect("ws://localhost", 5), { name: "TypeError", message: /^options must be an object/ });
});

test("a connect time-out beyond the longest timer counts as the longest timer", async () => {
  const timeouts = [];
  for (const connectTimeoutMs of [1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 + 5, Number.MAX_SAFE_INTEGER]) {
    const module = new FakeModule("open");
    const open = (timeout) => void timeouts.push(timeout);
    const { connect } = makeEntryPoints(() => ({ exports: { ...module.exports, open } }));
    await connect("ws://localhost", { WebSocket: module.WebSocket, connectTimeoutMs });
  }
  assert.deepEqual(timeouts, [1, 2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1]);
});
