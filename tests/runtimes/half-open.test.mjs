// Half-open connections: the client's socket ends, and its server does not notice. The npm package
// gets every entry, and none twice.
//
// STREAMGATE_RUNTIMES   where node_modules is   (default target/runtimes)

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { Proxy, fromTarget } from "./proxy.mjs";
import { Redis } from "./redis.mjs";
import { Relay } from "./relay.mjs";

const runtimes = fromTarget("STREAMGATE_RUNTIMES", "runtimes");
const { WebSocket } = createRequire(path.join(runtimes, "package.json"))("ws");
const entry = path.join(runtimes, "node_modules/streamgate/dist/platform/node.js");
const { connect } = await import(pathToFileURL(entry));

const ENTRIES = 10;

const port = (proxy) => Number(new URL(proxy.url).port);

/** How a consumer reads its group: it yields ids. */
const readers = {
  async *subscription(client) {
    for await (const { id } of client.consume("s", "g", "c")) yield id;
  },
  async *"waiting group read"(client) {
    for (;;) {
      const entries = await client.readGroup("s", "g", "c", { blockMs: 0 });
      yield* entries.map(({ id }) => id);
    }
  },
};

async function add(client, count) {
  const ids = [];
  for (let i = 0; i < count; i++) ids.push(await client.add("s", { i: `${i}` }));
  return ids;
}

async function next(ids, count) {
  const seen = [];
  while (seen.length < count) seen.push((await ids.next()).value);
  return seen.sort();
}

/** Makes a waiting consumer's connection half-open, and lets it reconnect to `other`. */
async function receivesAll(t, { first, other, read, before }) {
  const relay = await Relay.start(port(first));
  t.after(() => relay.stop());
  const writer = await connect(first.webSocketUrl, { WebSocket });
  t.after(() => writer.close());
  await writer.createGroup("s", "g", "0");
  const client = await connect(relay.webSocketUrl, { WebSocket });
  t.after(() => client.close());
  const ids = read(client);
  const early = next(ids, ENTRIES);
  // The server begins requests in their order.
  await client.readLatest("s", 1);

  relay.refuses = true;
  relay.leadTo(port(other));
  await relay.makeHalfOpen();
  const added = await add(writer, before);
  relay.refuses = false;
  await client.readLatest("s", 1);
  added.push(...(await add(writer, ENTRIES - before)));
  assert.deepEqual(await early, added);

  const last = next(ids, 1);
  assert.deepEqual(await add(writer, 1), await last);
  const pending = await writer.pendingEntries("s", "g");
  assert.equal(pending.length, ENTRIES + 1);
  for (const { consumer, deliveries } of pending) assert.deepEqual([consumer, deliveries], ["c", 1]);
  // Before the servers end, which would wait for them.
  await Promise.all([client.close(), writer.close()]);
  relay.stop();
}

/** A server that ends at once and logs nothing. */
const SETTINGS = ["--drain-ms", "0", "--log", "error"];

async function start(t, type, ...settings) {
  const started = await type.start(...settings);
  t.after(() => started.stop());
  return started;
}

for (const [name, read] of Object.entries(readers)) {
  for (const storage of ["memory", "Redis"]) {
    test(`a ${name} gets all entries from the server that holds its old socket, on ${storage}`, async (t) => {
      const backend = storage === "Redis" ? ["--redis", (await start(t, Redis)).url] : [];
      // So long that only the client's new socket can end the old one.
      const proxy = await start(t, Proxy, "--heartbeat-ms", "600000", ...SETTINGS, ...backend);
      // A subscription goes on taking entries on the old socket. A dead wait takes only the next.
      const before = name === "subscription" ? ENTRIES / 2 : 0;
      await receivesAll(t, { first: proxy, other: proxy, read, before });
    });
  }

  test(`a ${name} gets all entries from another server than the one that holds its old socket`, async (t) => {
    const { url } = await start(t, Redis);
    const startProxy = () => start(t, Proxy, "--heartbeat-ms", "1000", "--redis", url, ...SETTINGS);
    const [first, other] = [await startProxy(), await startProxy()];
    // The old session has waited for longer than the new one, so it takes some of the entries.
    await receivesAll(t, { first, other, read, before: 0 });
  });
}
