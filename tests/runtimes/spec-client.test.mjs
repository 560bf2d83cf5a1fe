// The client that was written from SPEC.md alone, with the real proxy, in both encodings.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Proxy, fromTarget } from "./proxy.mjs";
import { encode, open } from "./spec-client.mjs";

const require = createRequire(path.join(fromTarget("STREAMGATE_RUNTIMES", "runtimes"), "package.json"));
const { WebSocket } = require("ws");

/** A queue of the items of a subscription. */
function itemQueue() {
  const ready = [];
  const awaited = [];
  return {
    push: (item) => (awaited.length > 0 ? awaited.shift()(item) : ready.push(item)),
    next: () => (ready.length > 0 ? Promise.resolve(ready.shift()) : new Promise((resolve) => awaited.push(resolve))),
    length: () => ready.length,
  };
}

let proxy;

before(async () => {
  proxy = await Proxy.start();
});

after(() => proxy?.stop());

for (const encoding of ["json", "bin"]) {
  describe(`streamgate.v1.${encoding}`, () => {
    let client;

    before(async () => {
      client = await open(proxy.webSocketUrl, WebSocket, { encoding });
    });

    after(() => client?.close());

    test("the server sends welcome", () => {
      assert.match(client.welcome.server, /^streamgate\//);
      assert.ok(client.welcome.max_in_flight >= 256);
    });

    test("the six operations", async () => {
      const stream = `six-${encoding}`;
      const fields = [["item", "tea"], ["item", "\u0000 \u{1F375}"]];
      const { added } = await client.request({ add: { stream, fields, maxlen: null } });
      const latest = await client.request({ read_latest: { stream, count: 1 } });
      assert.deepEqual(latest.entries.entries, [[added.id, fields]]);
      const read = await client.request({ read: { stream, last_id: "$", count: 1, block_ms: null } });
      assert.equal(read.entries.last_id, added.id);
      await client.request({ create_group: { stream, group: "g", id: "0" } });
      const delivered = await client.request({ read_group: { stream, group: "g", consumer: "c", count: 1, block_ms: 0 } });
      assert.deepEqual(delivered.entries.entries, [[added.id, fields]]);
      await client.request({ ack: { stream, group: "g", ids: [added.id] } });
    });

    test("a tail pushes as many entries as there is credit", async () => {
      const stream = `tail-${encoding}`;
      const queue = itemQueue();
      const start = { tail: { stream, from: { now: {} } } };
      const { id } = client.subscribe(start, { entries: 1, bytes: 1000 }, queue.push);
      assert.deepEqual(await queue.next(), { entries: { entries: [], position: "0-0" } });
      const ids = [];
      for (const value of ["1", "2", "3"]) {
        ids.push((await client.request({ add: { stream, fields: [["f", value]], maxlen: null } })).added.id);
      }
      assert.deepEqual(await queue.next(), { entries: { entries: [[ids[0], [["f", "1"]]]], position: null } });
      await client.ping(1000 + id);
      assert.equal(queue.length(), 0);
      client.grant(id, { entries: 2, bytes: 0 });
      const rest = [];
      while (rest.length < 2) rest.push(...(await queue.next()).entries.entries);
      assert.deepEqual(rest.map(([added]) => added), ids.slice(1));
      client.cancel(id);
      await client.request({ add: { stream, fields: [["f", "4"]], maxlen: null } });
      await client.ping(2000 + id);
      assert.equal(queue.length(), 0);
    });

    test("a resumed tail reports a gap before the next entry", async () => {
      const stream = `gap-${encoding}`;
      const added = [];
      for (const maxlen of [null, null, 1]) {
        added.push((await client.request({ add: { stream, fields: [["f", "v"]], maxlen } })).added.id);
      }
      const queue = itemQueue();
      const from = { after: { id: added[0] } };
      const { id } = client.subscribe({ tail: { stream, from } }, { entries: 9, bytes: 9000 }, queue.push);
      const { gap } = await queue.next();
      assert.equal(gap.after, added[0]);
      assert.equal(gap.first, added[2]);
      assert.equal(gap.reason, "trimmed");
      assert.equal((await queue.next()).entries.entries[0][0], added[2]);
      client.cancel(id);
    });

    test("a consumer receives batches, and a missing group ends it", async () => {
      const stream = `consume-${encoding}`;
      const consume = { consume: { stream, group: "g", consumer: "c", batch: 2 } };
      const missing = client.subscribe(consume, { entries: 9, bytes: 9000 }, () => {});
      await assert.rejects(missing.ended, { code: "NOGROUP" });
      await client.request({ create_group: { stream, group: "g", id: "$" } });
      const queue = itemQueue();
      client.subscribe(consume, { entries: 3, bytes: 9000 }, queue.push);
      for (let n = 0; n < 4; n++) await client.request({ add: { stream, fields: [["f", `${n}`]], maxlen: null } });
      const delivered = [];
      while (delivered.length < 3) {
        const { entries, position } = (await queue.next()).entries;
        assert.ok(entries.length >= 1 && entries.length <= 2 && position === null);
        delivered.push(...entries.map(([, [[, value]]]) => value));
      }
      assert.deepEqual(delivered, ["0", "1", "2"]);
      const other = await client.request({ read_group: { stream, group: "g", consumer: "d", count: 9, block_ms: null } });
      assert.equal(other.entries.entries[0][1][0][1], "3");
    });

    test("subscribing twice with one id closes the connection, other mistakes do not", async () => {
      const other = await open(proxy.webSocketUrl, WebSocket, { encoding });
      const tail = { tail: { stream: "twice", from: { beginning: {} } } };
      other.grant(99, { entries: 1, bytes: 1 });
      other.cancel(99);
      const { id, ended } = other.subscribe(tail, { entries: 0, bytes: 0 }, () => {});
      const max = Number.MAX_SAFE_INTEGER;
      for (let n = 0; n < 3; n++) other.grant(id, { entries: max, bytes: max });
      await other.ping(9);
      other.sendRaw(encode("client", encoding, [{ subscribe: { id, subscription: tail, credit: { entries: 1, bytes: 1 } } }]));
      assert.equal((await other.closed).code, 4409);
      await assert.rejects(ended, /4409/);
    });

    test("an error is a reply", async () => {
      const wrong = { create_group: { stream: `six-${encoding}`, group: "g", id: "no id" } };
      await assert.rejects(client.request(wrong), { code: "ERR", retry: "never" });
      await client.ping(7);
    });

    test("garbage closes the connection", async () => {
      const other = await open(proxy.webSocketUrl, WebSocket, { encoding });
      other.sendRaw(encoding === "json" ? "garbage" : new Uint8Array([255, 255]));
      assert.equal((await other.closed).code, 4400);
      await client.ping(8);
    });
  });
}
