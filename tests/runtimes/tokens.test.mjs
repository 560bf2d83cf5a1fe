// Tokens of the npm package on the real server: many lives of a token in Node.js, some in workerd and
// Firefox, and issuers that are slow.
//
// STREAMGATE_RUNTIMES   where node_modules is   (default target/runtimes)
// STREAMGATE_FIREFOX    the browser             (default: the first one on PATH)

import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";

import { addAndTail } from "./add-and-tail.mjs";
import { bundle } from "./bundle.mjs";
import { openFirefox } from "./firefox.mjs";
import { deferred, mint, serveIssuer, serveWithTokens } from "./issuer.mjs";
import { fromTarget } from "./proxy.mjs";
import { startWorker } from "./workerd.mjs";

const runtimes = fromTarget("STREAMGATE_RUNTIMES", "runtimes");
const { WebSocket } = createRequire(path.join(runtimes, "package.json"))("ws");
const { connect } = await import(pathToFileURL(path.join(runtimes, "node_modules/streamgate/dist/platform/node.js")));

/** As many tokens as the client in Node.js lives through, and those of other runtimes. */
const LIVES = 10;
const LIVES_ELSEWHERE = 3;

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

// They wait for tokens to end, most of the time.
describe("tokens", { concurrency: true }, () => {
  test("a client tails and adds through ten tokens, and loses nothing", { timeout: HANG_MS }, async (t) => {
    let issued = 0;
    const client = await start(t, () => {
      issued += 1;
      return mint("ann");
    });
    assertComplete(await addAndTail(client, "ann:numbers", () => issued >= LIVES));
  });

  test("a worker in workerd lives through three tokens, and loses nothing", { timeout: HANG_MS }, async (t) => {
    const [issuer, worker] = await Promise.all([serveIssuer(t), startWorker(t, "token-worker.mjs")]);
    const server = await serveWithTokens();
    t.after(() => server.stop());
    const response = await fetch(`${worker}?${addresses(server, issuer)}`);
    assert.equal(response.status, 200, "the worker's exception is printed above");
    assertLived(await response.json());
  });

  test("a page in Firefox lives through three tokens, and loses nothing", { timeout: HANG_MS }, async (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), "streamgate-page-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    await bundle("token-page.mjs", "browser", folder);
    copyFileSync(path.join(import.meta.dirname, "token-page.html"), path.join(folder, "token-page.html"));
    const issuer = await serveIssuer(t, folder);
    const server = await serveWithTokens({}, "--allowed-origins", issuer.url);
    t.after(() => server.stop());
    const ended = openFirefox(t, `${issuer.url}/token-page.html?${addresses(server, issuer)}`);
    assertLived(await Promise.race([issuer.result, ended]));
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
});

/** What `liveThroughTokens` takes. */
function addresses(server, issuer) {
  const query = { server: server.webSocketUrl, issuer: `${issuer.url}/token`, stream: "ann:numbers" };
  return new URLSearchParams({ ...query, lives: LIVES_ELSEWHERE });
}

/** Checks what `liveThroughTokens` returned. */
function assertLived({ error, issued, closed, ...result }) {
  assert.equal(error, undefined);
  assert.ok(issued >= LIVES_ELSEWHERE);
  assert.ok(!closed, "a token was refused");
  assertComplete(result);
}

/** Checks that the tail received what was added, in order, once. */
function assertComplete({ added, received }) {
  assert.ok(added > 0);
  assert.deepEqual(received, Array.from({ length: added }, (_, number) => number));
}
