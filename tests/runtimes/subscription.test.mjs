// Tails and consumers of the npm package: the JavaScript on top of the engine, with a fake wasm
// module. subscription-server.test.mjs and the conformance suite test them with a server.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FakeModule, load } from "./fake-module.mjs";

const { makeEntryPoints } = await load("client.js");
const { Deliveries, Delivery, Entry, Gap, GapError, StreamgateError, Tail } = await load("exports.js");

test("a state event states the reason", async () => {
  const { client, module } = await start();
  const events = [];
  client.addEventListener("state", ({ state, code, reason }) => events.push([state, code, reason]));
  module.enterState("degraded", 0, "Redis is starting", "LOADING");
  module.enterState("open");
  module.enterState("reconnecting", 1006, "");
  module.enterState("closed", 1000, "done", "CLOSED");
  await new Promise(setImmediate);
  assert.deepEqual(events, [
    ["degraded", "LOADING", "Redis is starting"],
    ["open", undefined, undefined],
    ["reconnecting", 1006, ""],
    ["closed", 1000, "done"],
  ]);
  assert.equal(client.state, "closed");
});

test("connecting fails with the error of the module", async () => {
  for (const [code, error, retry] of [
    [1006, "DISCONNECTED", "later"],
    [1009, "PROTOCOL", "never"],
  ]) {
    const refused = connect(new FakeModule("closed", code, "why", error));
    await assert.rejects(refused, { code: error, message: `${error} why (${code})`, retry });
  }
});

function connect(module) {
  return makeEntryPoints(() => module).connect("ws://localhost/", { WebSocket: module.WebSocket });
}

async function start() {
  const module = new FakeModule("open");
  return { client: await connect(module), module };
}

const entry = (id) => [id, [["f", "v"]]];
/** The arguments of `push` for entries of 10 bytes each, and for a gap. */
const entries = (list, position = null) => [{ entries: { entries: list.map(entry), position } }, list.length, 10 * list.length];
const gap = (reason) => [{ gap: { after: "3-0", first: reason === "recreated" ? null : "9-0", position: "8-0", reason } }, 0, 0];
const ids = (list) => list.map(({ id }) => id);

test("the start of a tail is passed on as the module expects it", async () => {
  const { client, module } = await start();
  for (const from of [undefined, "now", "beginning", "5-1", { last: 3 }, { last: 0 }]) client.tail("s", { from });
  const starts = [{ now: {} }, { now: {} }, { beginning: {} }, { after: { id: "5-1" } }, { last: { count: 3 } }, { last: { count: 0 } }];
  const tails = starts.map((from, index) => ["subscribe", index + 1, { tail: { stream: "s", from } }]);
  assert.deepEqual(module.newCalls, tails);
  client.consume("s", "g", "c");
  client.consume("s", "g", "c", { batch: 7, claimAfterMs: 8, maxDeliveries: 9, deadLetter: "d", createFrom: "$" });
  const none = { claim_after_ms: null, max_deliveries: null, dead_letter: null, create_from: null };
  const some = { claim_after_ms: 8, max_deliveries: 9, dead_letter: "d", create_from: "$" };
  const names = { stream: "s", group: "g", consumer: "c", resumed: null, position: null };
  assert.deepEqual(module.newCalls, [
    ["subscribe", 7, { consume: { ...names, batch: 64, ...none } }],
    ["subscribe", 8, { consume: { ...names, batch: 7, ...some } }],
  ]);
});

test("arguments of a wrong type throw at once", async () => {
  const { client, module } = await start();
  for (const from of [5, null, {}, { last: -1 }, { last: "3" }]) {
    assert.throws(() => client.tail("s", { from }), TypeError);
  }
  assert.throws(() => client.tail(5), TypeError);
  assert.throws(() => client.consume("s", "g"), TypeError);
  assert.throws(() => client.consume("s", "g", "c", { batch: 0.5 }), TypeError);
  assert.deepEqual(module.newCalls, []);
});

test("a loop returns entries one by one and advances the position", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  assert.ok(tail instanceof Tail);
  assert.equal(tail.position, undefined);
  module.push(1, ...entries([], "1-0"));
  module.push(1, ...entries(["2-0", "3-0"]));
  module.push(1, ...entries(["4-0"], "7-0"));
  const seen = [];
  for await (const entry of tail) {
    assert.ok(entry instanceof Entry);
    seen.push([entry.id, tail.position]);
    if (entry.id === "4-0") break;
  }
  assert.deepEqual(seen, [
    ["2-0", "2-0"],
    ["3-0", "3-0"],
    ["4-0", "7-0"],
  ]);
  assert.deepEqual(await tail[Symbol.asyncIterator]().next(), { done: true, value: undefined });
  assert.equal(client.tail("s", { from: "5-1" }).position, "5-1");
});

test("credit is granted again for consumed items only", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  const loop = tail[Symbol.asyncIterator]();
  module.push(1, ...entries(["1-0", "2-0"]));
  module.push(1, ...entries(["3-0"]));
  module.push(1, ...entries(["4-0"]));
  await loop.next();
  assert.deepEqual(module.newCalls, [["subscribe", 1, { tail: { stream: "s", from: { now: {} } } }], ["consumed", 1, 2, 20]]);
  await loop.next();
  assert.deepEqual(module.newCalls, []);
  await loop.next();
  assert.deepEqual(module.newCalls, [["consumed", 1, 1, 10]]);
});

test("a batch is the entries of one push", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  module.push(1, ...entries([], "1-0"));
  module.push(1, ...entries(["2-0", "3-0"]));
  module.push(1, ...gap("trimmed"));
  module.push(1, ...entries(["9-0", "10-0", "11-0"]));
  const batches = tail.batches();
  const { value: first } = await batches.next();
  assert.deepEqual(first, { entries: [], position: "1-0" });
  const { value: second } = await batches.next();
  assert.deepEqual([ids(second.entries), second.position], [["2-0", "3-0"], "3-0"]);
  const { value: third } = await batches.next();
  assert.ok(third.gap instanceof Gap);
  assert.deepEqual({ ...third.gap }, { after: "3-0", first: "9-0", reason: "trimmed", position: "8-0" });
  assert.deepEqual([third.entries, third.position, tail.position], [[], "8-0", "8-0"]);
  // A loop and a batch share the tail: the batch is the rest of what the loop has started.
  await tail[Symbol.asyncIterator]().next();
  const { value: rest } = await batches.next();
  assert.deepEqual(ids(rest.entries), ["10-0", "11-0"]);
});

test("a gap ends a loop without onGap", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  module.push(1, ...entries(["3-0"]));
  module.push(1, ...gap("recreated"));
  module.push(1, ...entries(["1-0"]));
  const seen = [];
  const loop = async () => {
    for await (const { id } of tail) seen.push(id);
  };
  await assert.rejects(loop, (error) => {
    assert.ok(error instanceof GapError && error instanceof StreamgateError);
    assert.deepEqual([error.name, error.code, error.retry], ["GapError", "GAP", "never"]);
    assert.deepEqual([error.gap.reason, error.gap.first], ["recreated", undefined]);
    return true;
  });
  assert.deepEqual(seen, ["3-0"]);
  assert.equal(tail.position, "8-0");
  assert.deepEqual(module.newCalls.at(-1), ["cancel", 1]);
  await loop();
});

test("onGap is called before the entries after the gap, and may end the loop", async () => {
  const { client, module } = await start();
  const seen = [];
  const tail = client.tail("s", { onGap: ({ after }) => seen.push(`gap after ${after}`) });
  module.push(1, ...entries(["3-0"]));
  module.push(1, ...gap("trimmed"));
  module.push(1, ...entries(["9-0"]));
  for await (const { id } of tail) {
    seen.push(id);
    if (id === "9-0") break;
  }
  assert.deepEqual(seen, ["3-0", "gap after 3-0", "9-0"]);

  const thrown = new Error("thrown");
  const other = client.tail("s", {
    onGap() {
      throw thrown;
    },
  });
  module.push(2, ...gap("trimmed"));
  await assert.rejects(other[Symbol.asyncIterator]().next(), thrown);
  assert.deepEqual(module.newCalls.at(-1), ["cancel", 2]);
});

test("a gap states its reason", async () => {
  const { client, module } = await start();
  const batches = client.tail("s").batches();
  for (const reason of ["trimmed", "recreated", "rolled_back"]) module.push(1, ...gap(reason));
  const reasons = [];
  while (reasons.length < 3) reasons.push((await batches.next()).value.gap.reason);
  assert.deepEqual(reasons, ["trimmed", "recreated", "rolled_back"]);
});

test("a skipped entry is reported, and costs an entry of credit", async () => {
  const { client, module } = await start();
  const skipped = { id: "3-0", bytes: 20_000_000, reason: "size" };
  const seen = [];
  const onSkipped = (entry) => seen.push(entry);
  for (const [id, open] of [() => client.tail("s", { onSkipped }), () => client.consume("s", "g", "c", { onSkipped })].entries()) {
    const loop = open();
    module.push(id + 1, { skipped }, 1, 0);
    module.push(id + 1, ...entries(["4-0"], "4-0"));
    for await (const { id } of loop) {
      assert.equal(id, "4-0");
      break;
    }
    assert.deepEqual(seen.splice(0), [skipped]);
    assert.deepEqual(module.newCalls.filter(([name]) => name === "consumed")[0], ["consumed", id + 1, 1, 0]);
  }
});

test("a skipped entry is a batch", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  const deliveries = client.consume("s", "g", "c");
  const skipped = { id: "3-0", bytes: 20_000_000, reason: "size" };
  for (const id of [1, 2]) module.push(id, { skipped }, 1, 0);
  assert.deepEqual((await tail.batches().next()).value, { entries: [], skipped, position: "3-0" });
  assert.equal(tail.position, "3-0");
  const { value } = await deliveries.batches().next();
  assert.deepEqual([value.entries, value.skipped], [[], skipped]);
});

test("leaving the loop cancels the subscription once", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  module.push(1, ...entries(["1-0", "2-0"]));
  for await (const _ of tail) break;
  await tail[Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose")]();
  assert.deepEqual(module.newCalls.filter(([name]) => name === "cancel"), [["cancel", 1]]);
  // Entries that were in flight are dropped.
  module.push(1, ...entries(["3-0"]));
  for await (const _ of tail) assert.fail();
});

test("return and dispose end a wait", async () => {
  const { client, module } = await start();
  for (const end of [
    (tail, loop) => loop.return(),
    (tail) => tail[Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose")](),
  ]) {
    const tail = client.tail("s");
    const loop = tail[Symbol.asyncIterator]();
    const waiting = loop.next();
    await end(tail, loop);
    assert.deepEqual(await waiting, { done: true, value: undefined });
    assert.equal(module.newCalls.at(-1)[0], "cancel");
  }
});

test("a signal ends a subscription with its reason", async () => {
  const { client, module } = await start();
  const controller = new AbortController();
  const { signal } = controller;
  const reason = new Error("enough");
  const waiting = client.tail("s", { signal }).batches().next();
  const deliveries = client.consume("s", "g", "c", { signal });
  module.push(2, ...entries(["1-0"]));
  await new Promise(setImmediate);
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  await assert.rejects(deliveries.batches().next(), reason, "buffered entries are dropped");
  assert.deepEqual((await deliveries.batches().next()).done, true);
  assert.deepEqual(module.newCalls.slice(-2), [["cancel", 1], ["cancel", 2]]);

  await assert.rejects(client.tail("s", { signal }).batches().next(), reason);
  assert.deepEqual(module.newCalls, [], "an aborted signal starts no subscription");
});

test("a signal ends a subscription that the server has ended, while entries are buffered", async () => {
  const { client, module } = await start();
  const reason = new Error("enough");
  for (const id of [1, 2]) {
    const controller = new AbortController();
    const loop = client.tail("s", { signal: controller.signal })[Symbol.asyncIterator]();
    module.push(id, ...entries(["1-0", "2-0"]));
    module.fail(id, "DISCONNECTED", "gone", "later");
    assert.equal((await loop.next()).value.id, "1-0");
    if (id === 1) {
      controller.abort(reason);
      await assert.rejects(loop.next(), reason);
    } else {
      await loop.next();
      await assert.rejects(loop.next(), { code: "DISCONNECTED" });
      controller.abort(reason);
    }
    assert.ok((await loop.next()).done, "it ends once");
  }
  assert.ok(module.newCalls.every(([name]) => name !== "cancel"), "the server has ended it already");
});

test("a subscription that is over listens to its signal no more", async () => {
  const { client, module } = await start();
  const { signal } = new AbortController();
  let listeners = 0;
  for (const [method, change] of [["addEventListener", 1], ["removeEventListener", -1]]) {
    signal[method] = (...values) => {
      listeners += change;
      EventTarget.prototype[method].apply(signal, values);
    };
  }
  const loop = async (subscription) => {
    for await (const _ of subscription);
  };
  const ends = [
    (id) => module.finish(id, { ok: { done: {} } }),
    (id) => module.fail(id, "DISCONNECTED", "gone", "later"),
  ];
  let id = 0;
  for (const end of ends) {
    const loops = [loop(client.tail("s", { signal })), loop(client.consume("s", "g", "c", { signal }))];
    assert.equal(listeners, 2);
    for (const _ of loops) end(++id);
    await Promise.allSettled(loops);
    assert.equal(listeners, 0);
  }
});

test("a consumer that ends by close drops what it was not shown; a tail does not", async () => {
  const { client, module } = await start();
  const tail = client.tail("s")[Symbol.asyncIterator]();
  const consumer = client.consume("s", "g", "c")[Symbol.asyncIterator]();
  for (const [id, loop] of [[1, tail], [2, consumer]]) {
    module.push(id, ...entries(["1-0", "2-0"]));
    module.push(id, ...entries(["3-0"]));
    assert.equal((await loop.next()).value.id, "1-0");
    module.finish(id, { ok: { done: {} } });
  }
  await new Promise(setImmediate);
  assert.ok(module.newCalls.every(([name]) => name !== "cancel"), "the consumer's loop is at work");
  assert.ok((await consumer.next()).done);
  assert.deepEqual(module.newCalls, [["cancel", 2]], "the client need not wait for it any more");
  assert.deepEqual([(await tail.next()).value.id, (await tail.next()).value.id], ["2-0", "3-0"]);
  assert.ok((await tail.next()).done);
});

test("an error comes after the pushed entries, and once", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  module.push(1, ...entries(["1-0"]));
  module.fail(1, "DISCONNECTED", "gone", "later");
  const loop = tail[Symbol.asyncIterator]();
  assert.equal((await loop.next()).value.id, "1-0");
  await assert.rejects(loop.next(), { name: "StreamgateError", code: "DISCONNECTED", retry: "later" });
  assert.ok((await loop.next()).done);
  assert.ok(module.newCalls.every(([name]) => name !== "cancel"), "the server has ended it already");
});

test("concurrent calls of next are served in order", async () => {
  const { client, module } = await start();
  const loop = client.tail("s")[Symbol.asyncIterator]();
  const waiting = [loop.next(), loop.next(), loop.next()];
  module.push(1, ...entries(["1-0", "2-0"]));
  module.push(1, ...entries(["3-0"]));
  assert.deepEqual((await Promise.all(waiting)).map(({ value }) => value.id), ["1-0", "2-0", "3-0"]);

  // A call between the arrival of entries and the resolution of an earlier call.
  const first = loop.next();
  module.push(1, ...entries(["4-0", "5-0"]));
  const second = await new Promise((resolve) => queueMicrotask(() => resolve([loop.next()])));
  assert.deepEqual((await Promise.all([first, ...second])).map(({ value }) => value.id), ["4-0", "5-0"]);
});

test("a closed client has no subscriptions", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  module.fail(1, "CLOSED", "closed", "never");
  module.enterState("closed", 1000, "", "CLOSED");
  await assert.rejects(tail.batches().next(), { code: "CLOSED" });
  await assert.rejects(client.tail("s").batches().next(), { code: "CLOSED" });
  await assert.rejects(client.consume("s", "g", "c").batches().next(), { code: "CLOSED" });
});

test("deliveries can be acknowledged one by one and as a batch", async () => {
  const { client, module } = await start();
  const deliveries = client.consume("s", "g", "c");
  assert.ok(deliveries instanceof Deliveries);
  module.push(1, ...entries(["1-0"]));
  module.push(1, ...entries(["2-0", "3-0"]));
  const { value: delivery } = await deliveries[Symbol.asyncIterator]().next();
  assert.ok(delivery instanceof Delivery && delivery instanceof Entry);
  assert.equal(delivery.get("f"), "v");
  const one = delivery.ack();
  const { value: batch } = await deliveries.batches().next();
  const two = batch.ack();
  assert.deepEqual(module.newCalls.filter(([name]) => name === "request"), [
    ["request", 2, { ack: { stream: "s", group: "g", ids: ["1-0"] } }],
    ["request", 3, { ack: { stream: "s", group: "g", ids: ["2-0", "3-0"] } }],
  ]);
  module.finish(2, { ok: { acknowledged: { count: 1 } } });
  module.finish(3, { ok: { acknowledged: { count: 2 } } });
  assert.deepEqual(await Promise.all([one, two]), [1, 2]);
  await assert.rejects(delivery.ack({ signal: AbortSignal.abort(new Error("no")) }), { message: "no" });
});
