// `close` of the npm package waits for pending requests, and `abort` does not: with the real proxy.
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
const { connect } = await import(pathToFileURL(path.join(runtimes, "node_modules/streamgate/dist/platform/node.js")));

let proxy;

before(async () => {
  proxy = await Proxy.start();
});

after(() => proxy?.stop());

const start = (url = proxy.webSocketUrl) => connect(url, { WebSocket });

/** Loops over a subscription until it ends. Returns the values of its entries. */
async function collect(loop) {
  const values = [];
  for await (const entry of loop) values.push(entry.get("n"));
  return values;
}

test("requests that were made before are done, and none is taken any more", async () => {
  const client = await start();
  const adds = Array.from({ length: 100 }, (_, n) => client.add("adds", { n: `${n}` }));
  const closed = client.close();
  await assert.rejects(client.add("adds", { n: "late" }), { code: "CLOSED", retry: "never" });
  assert.equal(new Set(await Promise.all(adds)).size, 100);
  await closed;
  assert.equal(client.state, "closed");
});

test("loops end normally, and a tail keeps its position", async () => {
  const client = await start();
  await client.createGroup("loops", "g", "$");
  const tail = client.tail("loops", { from: "beginning" });
  const loops = [collect(tail), collect(client.consume("loops", "g", "c"))];
  const id = await client.add("loops", { n: "1" });
  while (tail.position !== id) await client.readLatest("loops", 1);
  await client.close();
  const [tailed, consumed] = await Promise.all(loops);
  assert.deepEqual(tailed, ["1"]);
  assert.ok(consumed.length <= 1, "the consumer may end before its entry came");
  assert.equal(tail.position, id);
});

test("a consumer's loop acknowledges the entry that it was shown last, and ends", async () => {
  const client = await start();
  await client.createGroup("work", "g", "$");
  const ids = [];
  for (const n of ["1", "2", "3"]) ids.push(await client.add("work", { n }));
  const shown = [];
  let closed;
  // As in the README, with work that takes time.
  for await (const entry of client.consume("work", "g", "c")) {
    shown.push(entry.id);
    closed ??= client.close({ timeoutMs: 600_000 });
    await new Promise(setImmediate);
    assert.equal(client.state, "open");
    assert.equal(await entry.ack(), 1);
  }
  await closed;
  assert.equal(client.state, "closed");
  assert.deepEqual(shown, ids.slice(0, 1));
  const next = await start();
  const pending = await next.pendingEntries("work", "g");
  assert.ok(pending.every(({ id }) => id !== ids[0]), "it is acknowledged");
  await next.close();
});

test("a consumer's loop that is left is not awaited", async () => {
  const client = await start();
  await client.createGroup("left", "g", "$");
  await client.add("left", { n: "1" });
  let closed;
  for await (const _ of client.consume("left", "g", "c")) {
    closed = client.close({ timeoutMs: 600_000 });
    break;
  }
  await closed;
  assert.equal(client.state, "closed");
});

test("reads that wait end at once", async () => {
  const client = await start();
  const rejected = assert.rejects(client.read("idle", "$", { blockMs: 0 }), { code: "CLOSED" });
  await client.readLatest("idle", 1);
  await Promise.all([client.close({ timeoutMs: 600_000 }), rejected]);
});

test("requests that are not done in time reject", async () => {
  const server = await Proxy.start();
  const client = await start(server.webSocketUrl);
  await server.kill();
  const add = client.add("s", { n: "1" });
  const rejected = assert.rejects(add, ({ code }) => ["CLOSED", "UNKNOWN_OUTCOME"].includes(code));
  await Promise.all([client.close({ timeoutMs: 100 }), rejected]);
});

test("abort ends requests and loops at once, with an error", async () => {
  const client = await start();
  const tail = client.tail("aborted");
  const next = tail[Symbol.asyncIterator]().next();
  const add = client.add("aborted", { n: "1" });
  client.abort();
  await assert.rejects(add, ({ code }) => ["CLOSED", "UNKNOWN_OUTCOME"].includes(code));
  await assert.rejects(next, { code: "CLOSED" });
  await client.close();
});

test("wrong arguments of close are TypeErrors", async () => {
  const client = await start();
  assert.throws(() => client.close({ timeout: 5 }), /did you mean 'timeoutMs'\?/);
  assert.throws(() => client.close(5), TypeError);
  await client.close();
});
