// Tails and consumers of the npm package: the JavaScript on top of the engine, with a fake wasm
// module. subscription-server.test.mjs and the conformance suite test them with a server.
//
// STREAMGATE_RUNTIMES   where node_modules is   (default target/runtimes)

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { fromTarget } from "./proxy.mjs";

const source = path.join(fromTarget("STREAMGATE_RUNTIMES", "runtimes"), "node_modules/streamgate/src");
const load = (file) => import(pathToFileURL(path.join(source, file)));
const { makeConnect } = await load("client.js");
const { Deliveries, Delivery, Entry, Gap, GapError, StreamgateError, Tail } = await load("exports.js");
const { DONE, FAILED, GAP, GAP_RECREATED, GAP_ROLLED_BACK, PUSHED, SKIPPED, STATE } = await load("events.js");

/** Records its calls, and reports the events that a test scripts. */
class FakeModule {
  static last;
  static first = [STATE, 0, "open"];
  calls = [];
  #next = 1;
  #events = [];
  #wake;
  #onEvent;

  constructor(_url, _constructor, _timeout, _exactlyOnce, _token, wake, onEvent) {
    this.#wake = wake;
    this.#onEvent = onEvent;
    FakeModule.last = this;
    this.emit(...new.target.first);
  }

  /** Reports an event at the next pump, as if the server had caused it. */
  emit(...event) {
    this.#events.push(event);
    this.#wake();
  }

  pump() {
    for (const event of this.#events.splice(0)) this.#onEvent(...event);
    return -1;
  }

  free() {}

  // The methods of `Connection`. The last argument is the time.
  #record(name, ...args) {
    this.calls.push([name, ...args.slice(0, -1)]);
    return this.#next++;
  }
  tail(...args) {
    return this.#record("tail", ...args);
  }
  consume(...args) {
    return this.#record("consume", ...args);
  }
  ack(...args) {
    return this.#record("ack", ...args);
  }
  consumed(...args) {
    this.calls.push(["consumed", ...args]);
  }
  cancel(id) {
    this.calls.push(["cancel", id]);
  }

  /** The calls since the last use. */
  get newCalls() {
    return this.calls.splice(0);
  }
}

const connect = makeConnect(async () => ({ Connection: FakeModule }));

test("a state event states the reason", async () => {
  const { client, module } = await start();
  const events = [];
  client.addEventListener("state", ({ state, code, reason }) => events.push([state, code, reason]));
  module.emit(STATE, 0, "degraded", "Redis is starting", "LOADING");
  module.emit(STATE, 0, "open");
  module.emit(STATE, 1006, "reconnecting", "");
  module.emit(STATE, 1000, "closed", "done", "CLOSED");
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
    class Refused extends FakeModule {
      static first = [STATE, code, "closed", "why", error];
    }
    const refused = makeConnect(async () => ({ Connection: Refused }))("ws://localhost/");
    await assert.rejects(refused, { code: error, message: `${error} why (${code})`, retry });
  }
});

async function start() {
  const client = await connect("ws://localhost/");
  return { client, module: FakeModule.last };
}

const entry = (id) => [id, 1, "f", "v"];
const entries = (...ids) => [PUSHED, 1, ids.flatMap(entry), undefined, 10 * ids.length];
const position = (at) => [PUSHED, 1, [], at, 0];
const gap = (recreated) => [recreated ? GAP_RECREATED : GAP, 1, "3-0", recreated ? undefined : "9-0", "8-0"];
const ids = (list) => list.map(({ id }) => id);

test("the start of a tail is passed on as the module expects it", async () => {
  const { client, module } = await start();
  for (const from of [undefined, "now", "beginning", "5-1", { last: 3 }, { last: 0 }]) client.tail("s", { from });
  assert.deepEqual(module.newCalls, [
    ["tail", "s", "now", -1],
    ["tail", "s", "now", -1],
    ["tail", "s", "beginning", -1],
    ["tail", "s", "5-1", -1],
    ["tail", "s", "", 3],
    ["tail", "s", "", 0],
  ]);
  client.consume("s", "g", "c");
  client.consume("s", "g", "c", { batch: 7, createFrom: "$" });
  assert.deepEqual(module.newCalls, [
    ["consume", "s", "g", "c", -1, -1, -1, undefined, undefined],
    ["consume", "s", "g", "c", 7, -1, -1, undefined, "$"],
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
  module.emit(...position("1-0"));
  module.emit(...entries("2-0", "3-0"));
  module.emit(PUSHED, 1, entry("4-0"), "7-0", 10);
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
  module.emit(...entries("1-0", "2-0"));
  module.emit(...entries("3-0"));
  module.emit(...entries("4-0"));
  await loop.next();
  assert.deepEqual(module.newCalls, [["tail", "s", "now", -1], ["consumed", 1, 2, 20]]);
  await loop.next();
  assert.deepEqual(module.newCalls, []);
  await loop.next();
  assert.deepEqual(module.newCalls, [["consumed", 1, 1, 10]]);
});

test("a batch is the entries of one push", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  module.emit(...position("1-0"));
  module.emit(...entries("2-0", "3-0"));
  module.emit(...gap(false));
  module.emit(...entries("9-0", "10-0", "11-0"));
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
  module.emit(...entries("3-0"));
  module.emit(...gap(true));
  module.emit(...entries("1-0"));
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
  module.emit(...entries("3-0"));
  module.emit(...gap(false));
  module.emit(...entries("9-0"));
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
  module.emit(GAP, 2, "3-0", "9-0", "8-0");
  await assert.rejects(other[Symbol.asyncIterator]().next(), thrown);
  assert.deepEqual(module.newCalls.at(-1), ["cancel", 2]);
});

test("a gap states its reason", async () => {
  const { client, module } = await start();
  const batches = client.tail("s").batches();
  for (const kind of [GAP, GAP_RECREATED, GAP_ROLLED_BACK]) module.emit(kind, 1, "3-0", "9-0", "8-0");
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
    module.emit(SKIPPED, id + 1, ...Object.values(skipped));
    module.emit(PUSHED, id + 1, entry("4-0"), "4-0", 10);
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
  for (const id of [1, 2]) module.emit(SKIPPED, id, "3-0", 20_000_000, "size");
  const skipped = { id: "3-0", bytes: 20_000_000, reason: "size" };
  assert.deepEqual((await tail.batches().next()).value, { entries: [], skipped, position: "3-0" });
  assert.equal(tail.position, "3-0");
  const { value } = await deliveries.batches().next();
  assert.deepEqual([value.entries, value.skipped], [[], skipped]);
});

test("leaving the loop cancels the subscription once", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  module.emit(...entries("1-0", "2-0"));
  for await (const _ of tail) break;
  await tail[Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose")]();
  assert.deepEqual(module.newCalls.filter(([name]) => name === "cancel"), [["cancel", 1]]);
  // Entries that were in flight are dropped.
  module.emit(...entries("3-0"));
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
  module.emit(PUSHED, 2, entry("1-0"), undefined, 10);
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
    module.emit(PUSHED, id, [...entry("1-0"), ...entry("2-0")], undefined, 20);
    module.emit(FAILED, id, "DISCONNECTED", "gone", "later");
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

test("an error comes after the pushed entries, and once", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  module.emit(...entries("1-0"));
  module.emit(FAILED, 1, "DISCONNECTED", "gone", "later");
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
  module.emit(...entries("1-0", "2-0"));
  module.emit(...entries("3-0"));
  assert.deepEqual((await Promise.all(waiting)).map(({ value }) => value.id), ["1-0", "2-0", "3-0"]);

  // A call between the arrival of entries and the resolution of an earlier call.
  const first = loop.next();
  module.emit(...entries("4-0", "5-0"));
  const second = await new Promise((resolve) => queueMicrotask(() => resolve([loop.next()])));
  assert.deepEqual((await Promise.all([first, ...second])).map(({ value }) => value.id), ["4-0", "5-0"]);
});

test("a closed client has no subscriptions", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  module.emit(FAILED, 1, "CLOSED", "closed", "never");
  module.emit(STATE, 1000, "closed", "", "CLOSED");
  await assert.rejects(tail.batches().next(), { code: "CLOSED" });
  await assert.rejects(client.tail("s").batches().next(), { code: "CLOSED" });
  await assert.rejects(client.consume("s", "g", "c").batches().next(), { code: "CLOSED" });
});

test("deliveries can be acknowledged one by one and as a batch", async () => {
  const { client, module } = await start();
  const deliveries = client.consume("s", "g", "c");
  assert.ok(deliveries instanceof Deliveries);
  module.emit(...entries("1-0"));
  module.emit(...entries("2-0", "3-0"));
  const { value: delivery } = await deliveries[Symbol.asyncIterator]().next();
  assert.ok(delivery instanceof Delivery && delivery instanceof Entry);
  assert.equal(delivery.get("f"), "v");
  const one = delivery.ack();
  const { value: batch } = await deliveries.batches().next();
  const two = batch.ack();
  assert.deepEqual(module.newCalls.filter(([name]) => name === "ack"), [
    ["ack", "s", "g", ["1-0"]],
    ["ack", "s", "g", ["2-0", "3-0"]],
  ]);
  module.emit(DONE, 2);
  module.emit(DONE, 3);
  assert.deepEqual(await Promise.all([one, two]), [undefined, undefined]);
  await assert.rejects(delivery.ack({ signal: AbortSignal.abort(new Error("no")) }), { message: "no" });
});
