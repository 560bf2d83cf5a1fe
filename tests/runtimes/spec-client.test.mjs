// A client written from SPEC.md alone, against the real proxy, in both encodings.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Proxy, fromTarget } from "./proxy.mjs";
import { open } from "./spec-client.mjs";

const require = createRequire(path.join(fromTarget("STREAMGATE_RUNTIMES", "runtimes"), "package.json"));
const { WebSocket } = require("ws");

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

    test("the server says welcome", () => {
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
      const given = await client.request({ read_group: { stream, group: "g", consumer: "c", count: 1, block_ms: 0 } });
      assert.deepEqual(given.entries.entries, [[added.id, fields]]);
      await client.request({ ack: { stream, group: "g", ids: [added.id] } });
    });

    test("a failure is a reply", async () => {
      const wrong = { create_group: { stream: `six-${encoding}`, group: "g", id: "no id" } };
      await assert.rejects(client.request(wrong), { code: "ERR", retry: "never" });
      await client.ping(7);
    });

    test("garbage is a close", async () => {
      const other = await open(proxy.webSocketUrl, WebSocket, { encoding });
      other.sendRaw(encoding === "json" ? "garbage" : new Uint8Array([255, 255]));
      assert.equal((await other.closed).code, 4400);
      await client.ping(8);
    });
  });
}
