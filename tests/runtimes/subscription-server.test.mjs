// Tails and consumers of the npm package on the real proxy. The conformance suite tests their
// meaning; these tests cover the loops and what remains after they end.
//
// STREAMGATE_RUNTIMES   where node_modules is   (default target/runtimes)

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { Proxy, fromTarget } from "./proxy.mjs";
import { Redis } from "./redis.mjs";

const runtimes = fromTarget("STREAMGATE_RUNTIMES", "runtimes");
const { WebSocket } = createRequire(path.join(runtimes, "package.json"))("ws");
const entry = path.join(runtimes, "node_modules/streamgate/dist/platform/node.js");
const { connect } = await import(pathToFileURL(entry));

/** The entries that the package buffers ahead of a loop: DEFAULT_CREDIT_ENTRIES of the client. */
const WINDOW = 1024;

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

/** Adds entries with the values 0, 1, 2 … */
function addMany(stream, count) {
  return Promise.all(Array.from({ length: count }, (_, i) => client.add(stream, { i: `${i}` })));
}

test("a tail from now returns entries added after its start, and none from before", async () => {
  const adds = [client.add("now", { v: "before" })];
  const tail = client.tail("now");
  adds.push(client.add("now", { v: "after" }));
  const { value } = await tail[Symbol.asyncIterator]().next();
  assert.equal(value.get("v"), "after");
  assert.equal(tail.position, value.id);
  assert.equal(value.id, (await Promise.all(adds))[1]);
});

test("a loop that is slower than the stream misses nothing", async () => {
  const count = 5 * WINDOW;
  await addMany("slow", count);
  let next = 0;
  for await (const entry of client.tail("slow", { from: "beginning" })) {
    assert.equal(entry.get("i"), `${next++}`);
    if (next % 512 === 0) await new Promise(setImmediate);
    if (next === count) break;
  }
  assert.equal(next, count);
});

test("a loop resumes at the position of an earlier one", async () => {
  await addMany("resume", 10);
  const first = client.tail("resume", { from: { last: 8 } });
  let seen = "";
  for await (const entry of first) {
    seen += entry.get("i");
    if (entry.get("i") === "5") break;
  }
  for await (const entry of client.tail("resume", { from: first.position })) {
    seen += entry.get("i");
    if (entry.get("i") === "9") break;
  }
  assert.equal(seen, "23456789");
});

test("a consumer that has ended receives nothing", async () => {
  const asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");
  const ends = {
    async signal({ loop, controller }) {
      const waiting = loop.next();
      controller.abort();
      await assert.rejects(waiting, controller.signal.reason);
    },
    async break({ loop, stream }) {
      await addMany(stream, 1);
      for await (const entry of loop) {
        await entry.ack();
        break;
      }
    },
    async dispose({ loop, deliveries }) {
      const waiting = loop.next();
      await deliveries[asyncDispose]();
      assert.ok((await waiting).done);
    },
  };
  for (const [name, end] of Object.entries(ends)) {
    const stream = `ended-by-${name}`;
    await client.createGroup(stream, "kitchen", "0");
    const controller = new AbortController();
    const { signal } = controller;
    const deliveries = client.consume(stream, "kitchen", "ended", { batch: 2, signal });
    // The server handles requests in order. After this answer the consumer is in the queue of the
    // group.
    await client.readLatest(stream, 1);
    await end({ deliveries, loop: deliveries[Symbol.asyncIterator](), controller, stream });
    await addMany(stream, 3);
    let next = 0;
    for await (const entry of client.consume(stream, "kitchen", "other", { batch: 2 })) {
      assert.equal(entry.get("i"), `${next++}`, name);
      await entry.ack();
      if (next === 3) break;
    }
  }
});

test("loops reject with the error codes of the server", async () => {
  await assert.rejects(client.consume("none", "none", "c").batches().next(), { code: "NOGROUP" });
  await assert.rejects(client.tail("now", { from: "no id" }).batches().next(), { code: "ERR" });
  await assert.rejects(client.consume("now", "g", "c", { batch: 0 }).batches().next(), { code: "ERR" });
});

test("aborting the client ends loops with an error; only a consumer may have lost an answer", async () => {
  const own = await connect(proxy.webSocketUrl, { WebSocket });
  await own.createGroup("closed", "g", "$");
  const tail = own.tail("closed").batches();
  await tail.next();
  const waiting = [tail.next(), own.consume("closed", "g", "c").batches().next()];
  await own.readLatest("closed", 1);
  own.abort();
  await assert.rejects(waiting[0], { code: "CLOSED", retry: "never" });
  await assert.rejects(waiting[1], { code: "UNKNOWN_OUTCOME", retry: "unknown" });
  await own.close();
});

test("adds are idempotent unless exactlyOnce is false", async () => {
  const redis = await Redis.start();
  const own = await Proxy.start("--redis", redis.url);
  const keys = () => redis.command("DBSIZE");
  const add = async (options) => {
    const other = await connect(own.webSocketUrl, { WebSocket, ...options });
    await other.add("s", { n: "1" });
    await other.close();
  };
  await add({ exactlyOnce: false });
  assert.equal(await keys(), ":1", "the stream, and no deduplication key");
  for (const [options, keyCount] of [[{}, 2], [{ exactlyOnce: undefined }, 3], [{ exactlyOnce: true }, 4]]) {
    await add(options);
    assert.equal(await keys(), `:${keyCount}`);
  }
  await own.stop();
  await redis.stop();
});

test("the client is degraded while Redis is down, and loops continue once it is back", async () => {
  const redis = await Redis.start();
  const own = await Proxy.start("--redis", redis.url);
  const other = await connect(own.webSocketUrl, { WebSocket });
  const events = [];
  const enters = (state) =>
    new Promise((resolve) => {
      if (other.state === state) return resolve();
      other.addEventListener("state", (event) => event.state === state && resolve());
    });
  other.addEventListener("state", ({ state, code, reason }) => events.push({ state, code, reason }));
  const tail = other.tail("s").batches();
  await tail.next();
  await redis.kill();
  await enters("degraded");
  await assert.rejects(other.add("s", { n: "1" }), { retry: "later" });
  await redis.start();
  await enters("open");
  const id = await other.add("s", { n: "2" });
  const { value } = await tail.next();
  assert.deepEqual(value.entries.map((entry) => entry.id), [id]);
  const [first, ...rest] = events;
  assert.equal(first.state, "degraded");
  assert.equal(first.code, "DISCONNECTED");
  assert.match(first.reason, /Redis/);
  assert.deepEqual(rest.at(-1), { state: "open", code: undefined, reason: undefined });
  assert.ok(rest.slice(0, -1).every(({ state }) => state === "degraded"), JSON.stringify(events));
  await other.close();
  await own.stop();
  await redis.stop();
});

test("loops continue on the next connection", async () => {
  const redis = await Redis.start();
  const own = await Proxy.start("--redis", redis.url);
  const other = await connect(own.webSocketUrl, { WebSocket });
  await other.createGroup("s", "g", "$");
  const tail = other.tail("s").batches();
  await tail.next();
  const consumer = other.consume("s", "g", "c").batches();
  const waiting = [tail.next(), consumer.next(), other.read("s", "$", { count: 1, blockMs: 0 })];
  await other.readLatest("s", 1);
  await own.kill();
  await redis.command("XADD s 5-1 n 1");
  await own.start();
  for (const found of await Promise.all(waiting)) {
    const entries = found.value?.entries ?? found;
    assert.deepEqual(entries.map(({ id }) => id), ["5-1"]);
  }
  await other.close();
  await own.stop();
  await redis.stop();
});
