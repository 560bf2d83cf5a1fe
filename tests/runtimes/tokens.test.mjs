// Tokens of the npm package, in Node.js on the real server: many lives of a token, and issuers that
// are slow.
//
// STREAMGATE_RUNTIMES   where node_modules is   (default target/runtimes)

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";

import { mint, serveWithTokens } from "./issuer.mjs";
import { fromTarget } from "./proxy.mjs";

const runtimes = fromTarget("STREAMGATE_RUNTIMES", "runtimes");
const { WebSocket } = createRequire(path.join(runtimes, "package.json"))("ws");
const { connect } = await import(pathToFileURL(path.join(runtimes, "node_modules/streamgate/src/platform/node.js")));

/** As many tokens as the client lives through. */
const LIVES = 10;

/** Only a hang takes as long, on any machine. */
const HANG_MS = 5 * 60_000;

/** Starts a server, and a client whose source of tokens has one call at a time. */
async function start(t, source, options = {}) {
  const server = await serveWithTokens();
  t.after(() => server.stop());
  let calls = 0;
  const token = async (request) => {
    assert.equal(calls, 0, "one call at a time");
    calls += 1;
    try {
      return await source(request);
    } finally {
      calls -= 1;
    }
  };
  const client = await connect(server.webSocketUrl, { WebSocket, token, ...options });
  t.after(() => client.close());
  return client;
}

test("a client tails and adds through ten tokens, and loses nothing", { timeout: HANG_MS }, async (t) => {
  let issued = 0;
  const client = await start(t, () => {
    issued += 1;
    return mint("ann");
  });
  const received = [];
  const tail = client.tail("ann:numbers", { from: "beginning" });
  const tailing = (async () => {
    for await (const entry of tail) {
      if (entry.get("number") === "end") return;
      received.push(Number(entry.get("number")));
    }
  })();
  let added = 0;
  for (; issued < LIVES; added += 1) {
    await client.add("ann:numbers", { number: `${added}` });
    await pause(10);
  }
  await client.add("ann:numbers", { number: "end" });
  await tailing;
  assert.deepEqual(received, Array.from({ length: added }, (_, number) => number));
});

test("an issuer that is slower than the connect time-out is awaited", { timeout: HANG_MS }, async (t) => {
  const slow = async () => {
    await pause(600);
    return mint("ann");
  };
  const client = await start(t, slow, { connectTimeoutMs: 300 });
  assert.equal(client.state, "open");
});

test("a call that outlives its socket does for the next, and the owner has one call at a time", { timeout: HANG_MS }, async (t) => {
  let calls = 0;
  const renewal = deferred();
  const client = await start(t, () => {
    calls += 1;
    // The renewal is not answered before the first token has ended.
    return calls === 2 ? renewal.promise : mint("ann");
  });
  const reopened = deferred();
  client.addEventListener("state", ({ state }) => {
    if (state === "reconnecting") renewal.resolve(mint("ann"));
    if (state === "open") reopened.resolve();
  });
  await reopened.promise;
  await client.add("ann:late", { n: "1" });
});

function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
}
