// How many entries a read returns unless its options say so, with the npm package on the real proxy.
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

let proxy;
let client;

before(async () => {
  proxy = await Proxy.start();
  client = await connect(proxy.webSocketUrl, { WebSocket });
  await Promise.all(Array.from({ length: 1_200 }, (_, i) => client.add("many", { i: `${i}` })));
});

after(async () => {
  await client?.close();
  await proxy?.stop();
});

test("a read returns at most 1,000 entries, and a group read 100", async () => {
  assert.equal((await client.read("many", "0")).length, 1_000);
  assert.equal((await client.read("many", "0", { count: 0 })).length, 1_200);
  await client.createGroup("many", "group", "0");
  assert.equal((await client.readGroup("many", "group", "ann")).length, 100);
  assert.equal((await client.readGroup("many", "group", "ann", { count: 0 })).length, 1_100);
});

test("reading the latest entries needs a count", async () => {
  for (const count of [undefined, null]) {
    await assert.rejects(client.readLatest("many", count), { name: "TypeError", message: /count/ });
  }
});
