// Tails and consumers of the npm package: what JavaScript adds to the engine, with a module that is
// played by hand. How they go with a server is in subscription-server.test.mjs and in the conformance
// suite.
//
// STREAMGATE_RUNTIMES   where node_modules is   (default target/runtimes)

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { fromTarget } from "./proxy.mjs";

const source = path.join(fromTarget("STREAMGATE_RUNTIMES", "runtimes"), "node_modules/streamgate/src");
const load = (file) => import(pathToFileURL(path.join(source, file)));
const { bind } = await load("client.js");
const { Deliveries, Delivery, Entry, Gap, GapError, StreamgateError, Tail } = await load("exports.js");

/** Notes what it is asked for; tells what a test says. */
class Module {
  static last;
  asked = [];
  #next = 1;
  #said = [];
  #wake;
  #told;

  constructor(_url, _constructor, _timeout, _exactlyOnce, wake, told) {
    this.#wake = wake;
    this.#told = told;
    Module.last = this;
    this.say(4, 0, "open");
  }

  /** As the server: told in the next pump. */
  say(...what) {
    this.#said.push(what);
    this.#wake();
  }

  pump() {
    for (const what of this.#said.splice(0)) this.#told(...what);
    return -1;
  }

  free() {}

  // As `Connection` has them; the last argument is the time.
  #ask(name, ...args) {
    this.asked.push([name, ...args.slice(0, -1)]);
    return this.#next++;
  }
  tail(...args) {
    return this.#ask("tail", ...args);
  }
  consume(...args) {
    return this.#ask("consume", ...args);
  }
  ack(...args) {
    return this.#ask("ack", ...args);
  }
  consumed(...args) {
    this.asked.push(["consumed", ...args]);
  }
  cancel(id) {
    this.asked.push(["cancel", id]);
  }

  /** What was asked since the last time. */
  get news() {
    return this.asked.splice(0);
  }
}

const connect = bind(async () => ({ Connection: Module }));

test("a state's event says why", async () => {
  const { client, module } = await start();
  const told = [];
  client.addEventListener("state", ({ state, code, reason }) => told.push([state, code, reason]));
  module.say(4, 0, "degraded", "Redis is starting", "LOADING");
  module.say(4, 0, "open");
  module.say(4, 1006, "reconnecting", "");
  module.say(4, 1000, "closed", "done");
  await new Promise(setImmediate);
  assert.deepEqual(told, [
    ["degraded", "LOADING", "Redis is starting"],
    ["open", undefined, undefined],
    ["reconnecting", 1006, ""],
    ["closed", 1000, "done"],
  ]);
  assert.equal(client.state, "closed");
});

async function start() {
  const client = await connect("ws://localhost/");
  return { client, module: Module.last };
}

const entry = (id) => [id, 1, "f", "v"];
const entries = (...ids) => [5, 1, ids.flatMap(entry), undefined, 10 * ids.length];
const position = (at) => [5, 1, [], at, 0];
const gap = (recreated) => [recreated ? 7 : 6, 1, "3-0", recreated ? undefined : "9-0", "8-0"];
const ids = (list) => list.map(({ id }) => id);

test("where a tail starts is told as the module takes it", async () => {
  const { client, module } = await start();
  for (const from of [undefined, "now", "beginning", "5-1", { last: 3 }, { last: 0 }]) client.tail("s", { from });
  assert.deepEqual(module.news, [
    ["tail", "s", "now", -1],
    ["tail", "s", "now", -1],
    ["tail", "s", "beginning", -1],
    ["tail", "s", "5-1", -1],
    ["tail", "s", "", 3],
    ["tail", "s", "", 0],
  ]);
  client.consume("s", "g", "c");
  client.consume("s", "g", "c", { batch: 7 });
  assert.deepEqual(module.news, [
    ["consume", "s", "g", "c", -1, -1, -1, undefined],
    ["consume", "s", "g", "c", 7, -1, -1, undefined],
  ]);
});

test("arguments of a wrong type are thrown at once", async () => {
  const { client, module } = await start();
  for (const from of [5, null, {}, { last: -1 }, { last: "3" }]) {
    assert.throws(() => client.tail("s", { from }), TypeError);
  }
  assert.throws(() => client.tail(5), TypeError);
  assert.throws(() => client.consume("s", "g"), TypeError);
  assert.throws(() => client.consume("s", "g", "c", { batch: 0.5 }), TypeError);
  assert.deepEqual(module.news, []);
});

test("a loop gives entries one by one, and position follows", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  assert.ok(tail instanceof Tail);
  assert.equal(tail.position, undefined);
  module.say(...position("1-0"));
  module.say(...entries("2-0", "3-0"));
  module.say(5, 1, entry("4-0"), "7-0", 10);
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

test("what is taken is granted again, and nothing else is", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  const loop = tail[Symbol.asyncIterator]();
  module.say(...entries("1-0", "2-0"));
  module.say(...entries("3-0"));
  module.say(...entries("4-0"));
  await loop.next();
  assert.deepEqual(module.news, [["tail", "s", "now", -1], ["consumed", 1, 2, 20]]);
  await loop.next();
  assert.deepEqual(module.news, []);
  await loop.next();
  assert.deepEqual(module.news, [["consumed", 1, 1, 10]]);
});

test("batches are what came together", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  module.say(...position("1-0"));
  module.say(...entries("2-0", "3-0"));
  module.say(...gap(false));
  module.say(...entries("9-0", "10-0", "11-0"));
  const batches = tail.batches();
  const { value: first } = await batches.next();
  assert.deepEqual(first, { entries: [], position: "1-0" });
  const { value: second } = await batches.next();
  assert.deepEqual([ids(second.entries), second.position], [["2-0", "3-0"], "3-0"]);
  const { value: third } = await batches.next();
  assert.ok(third.gap instanceof Gap);
  assert.deepEqual({ ...third.gap }, { after: "3-0", first: "9-0", recreated: false, position: "8-0" });
  assert.deepEqual([third.entries, third.position, tail.position], [[], "8-0", "8-0"]);
  // A loop and a batch share the tail: the rest of what the loop has in hand.
  await tail[Symbol.asyncIterator]().next();
  const { value: rest } = await batches.next();
  assert.deepEqual(ids(rest.entries), ["10-0", "11-0"]);
});

test("a gap ends a loop that nobody asked to tell", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  module.say(...entries("3-0"));
  module.say(...gap(true));
  module.say(...entries("1-0"));
  const seen = [];
  const loop = async () => {
    for await (const { id } of tail) seen.push(id);
  };
  await assert.rejects(loop, (error) => {
    assert.ok(error instanceof GapError && error instanceof StreamgateError);
    assert.deepEqual([error.name, error.code, error.retry], ["GapError", "GAP", "never"]);
    assert.deepEqual([error.gap.recreated, error.gap.first], [true, undefined]);
    return true;
  });
  assert.deepEqual(seen, ["3-0"]);
  assert.equal(tail.position, "8-0");
  assert.deepEqual(module.news.at(-1), ["cancel", 1]);
  await loop();
});

test("onGap is called before what is behind the gap, and may end the loop", async () => {
  const { client, module } = await start();
  const seen = [];
  const tail = client.tail("s", { onGap: ({ after }) => seen.push(`gap after ${after}`) });
  module.say(...entries("3-0"));
  module.say(...gap(false));
  module.say(...entries("9-0"));
  for await (const { id } of tail) {
    seen.push(id);
    if (id === "9-0") break;
  }
  assert.deepEqual(seen, ["3-0", "gap after 3-0", "9-0"]);

  const mine = new Error("mine");
  const other = client.tail("s", {
    onGap() {
      throw mine;
    },
  });
  module.say(6, 2, "3-0", "9-0", "8-0");
  await assert.rejects(other[Symbol.asyncIterator]().next(), mine);
  assert.deepEqual(module.news.at(-1), ["cancel", 2]);
});

test("leaving the loop ends it at the server, once", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  module.say(...entries("1-0", "2-0"));
  for await (const _ of tail) break;
  await tail[Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose")]();
  assert.deepEqual(module.news.filter(([name]) => name === "cancel"), [["cancel", 1]]);
  // What was on its way is nobody's.
  module.say(...entries("3-0"));
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
    assert.equal(module.news.at(-1)[0], "cancel");
  }
});

test("a signal ends it with its reason", async () => {
  const { client, module } = await start();
  const controller = new AbortController();
  const { signal } = controller;
  const reason = new Error("enough");
  const waiting = client.tail("s", { signal }).batches().next();
  const deliveries = client.consume("s", "g", "c", { signal });
  module.say(5, 2, entry("1-0"), undefined, 10);
  await new Promise(setImmediate);
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  await assert.rejects(deliveries.batches().next(), reason, "what waits is not given any more");
  assert.deepEqual((await deliveries.batches().next()).done, true);
  assert.deepEqual(module.news.slice(-2), [["cancel", 1], ["cancel", 2]]);

  await assert.rejects(client.tail("s", { signal }).batches().next(), reason);
  assert.deepEqual(module.news, [], "one that is aborted already never begins");
});

test("a signal ends what the server has ended already, as long as something waits to be taken", async () => {
  const { client, module } = await start();
  const reason = new Error("enough");
  for (const id of [1, 2]) {
    const controller = new AbortController();
    const loop = client.tail("s", { signal: controller.signal })[Symbol.asyncIterator]();
    module.say(5, id, [...entry("1-0"), ...entry("2-0")], undefined, 20);
    module.say(0, id, "DISCONNECTED", "gone", "later");
    assert.equal((await loop.next()).value.id, "1-0");
    if (id === 1) {
      controller.abort(reason);
      await assert.rejects(loop.next(), reason);
    } else {
      await loop.next();
      await assert.rejects(loop.next(), { code: "DISCONNECTED" });
      controller.abort(reason);
    }
    assert.ok((await loop.next()).done, "it is over once");
  }
  assert.ok(module.news.every(([name]) => name !== "cancel"), "it is over at the server already");
});

test("an error comes behind what was pushed, and once", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  module.say(...entries("1-0"));
  module.say(0, 1, "DISCONNECTED", "gone", "later");
  const loop = tail[Symbol.asyncIterator]();
  assert.equal((await loop.next()).value.id, "1-0");
  await assert.rejects(loop.next(), { name: "StreamgateError", code: "DISCONNECTED", retry: "later" });
  assert.ok((await loop.next()).done);
  assert.ok(module.news.every(([name]) => name !== "cancel"), "it is over at the server already");
});

test("calls of next that wait together are served in their order", async () => {
  const { client, module } = await start();
  const loop = client.tail("s")[Symbol.asyncIterator]();
  const waiting = [loop.next(), loop.next(), loop.next()];
  module.say(...entries("1-0", "2-0"));
  module.say(...entries("3-0"));
  assert.deepEqual((await Promise.all(waiting)).map(({ value }) => value.id), ["1-0", "2-0", "3-0"]);

  // One that is asked between what comes and those that wait for it.
  const first = loop.next();
  module.say(...entries("4-0", "5-0"));
  const second = await new Promise((resolve) => queueMicrotask(() => resolve([loop.next()])));
  assert.deepEqual((await Promise.all([first, ...second])).map(({ value }) => value.id), ["4-0", "5-0"]);
});

test("a closed client has no subscriptions", async () => {
  const { client, module } = await start();
  const tail = client.tail("s");
  module.say(0, 1, "CLOSED", "closed", "never");
  module.say(4, 1000, "closed");
  await assert.rejects(tail.batches().next(), { code: "CLOSED" });
  await assert.rejects(client.tail("s").batches().next(), { code: "CLOSED" });
  await assert.rejects(client.consume("s", "g", "c").batches().next(), { code: "CLOSED" });
});

test("deliveries acknowledge themselves, one by one and together", async () => {
  const { client, module } = await start();
  const deliveries = client.consume("s", "g", "c");
  assert.ok(deliveries instanceof Deliveries);
  module.say(...entries("1-0"));
  module.say(...entries("2-0", "3-0"));
  const { value: delivery } = await deliveries[Symbol.asyncIterator]().next();
  assert.ok(delivery instanceof Delivery && delivery instanceof Entry);
  assert.equal(delivery.get("f"), "v");
  const one = delivery.ack();
  const { value: batch } = await deliveries.batches().next();
  const two = batch.ack();
  assert.deepEqual(module.news.filter(([name]) => name === "ack"), [
    ["ack", "s", "g", ["1-0"]],
    ["ack", "s", "g", ["2-0", "3-0"]],
  ]);
  module.say(3, 2);
  module.say(3, 3);
  assert.deepEqual(await Promise.all([one, two]), [undefined, undefined]);
  await assert.rejects(delivery.ack({ signal: AbortSignal.abort(new Error("no")) }), { message: "no" });
});
