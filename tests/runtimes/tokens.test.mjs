// Tokens of the npm package on the real server: one list of cases in Node.js, Deno, Bun, workerd and
// Firefox, and issuers that are slow.
//
// STREAMGATE_RUNTIMES   where node_modules is   (default target/runtimes)
// STREAMGATE_FIREFOX    the browser             (default: the first one on PATH)

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

import { bundle, program } from "./bundle.mjs";
import { openFirefox } from "./firefox.mjs";
import { deferred, mint, serveIssuer, serveWithTokens } from "./issuer.mjs";
import { fromTarget } from "./proxy.mjs";
import { ENDING_MS, LONG_MS, runTokenCases } from "./token-cases.mjs";
import { startWorker } from "./workerd.mjs";

const runtimes = fromTarget("STREAMGATE_RUNTIMES", "runtimes");
const { WebSocket } = createRequire(path.join(runtimes, "package.json"))("ws");
const { connect } = await import(pathToFileURL(path.join(runtimes, "node_modules/streamgate/dist/platform/node.js")));

/** As many tokens as a client in Node.js lives through, and those of other runtimes. */
const LIVES = 10;
const LIVES_ELSEWHERE = 3;

/** Only a hang takes as long, on any machine. */
const HANG_MS = 5 * 60_000;

/** What runs the cases in each runtime, and returns their results. */
const RUNTIMES = {
  "Node.js": (_, query) => runTokenCases(connect, query, { WebSocket }),
  Deno: (_, query) => runScript("deno", ["run", "--allow-net", "--node-modules-dir=manual"], query),
  Bun: (_, query) => runScript("bun", [], query),
  async workerd(t, query) {
    const worker = await startWorker(t, "token-worker.mjs");
    const response = await fetch(`${worker}?${query}`);
    assert.equal(response.status, 200, "the worker's exception is printed above");
    return response.json();
  },
  Firefox(t, query, issuer) {
    const ended = openFirefox(t, `${issuer.url}/token-page.html?${query}`);
    return Promise.race([issuer.result, ended]);
  },
};

/** Runs `token-script.mjs` by a program of an npm package. */
async function runScript(name, options, query) {
  const script = path.join(import.meta.dirname, "token-script.mjs");
  const { stdout } = await promisify(execFile)(program(name), [...options, script, `${query}`]);
  return JSON.parse(stdout);
}

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
  for (const [runtime, run] of Object.entries(RUNTIMES)) {
    test(`in ${runtime}`, { timeout: HANG_MS }, async (t) => {
      const folder = mkdtempSync(path.join(tmpdir(), "streamgate-page-"));
      t.after(() => rmSync(folder, { recursive: true, force: true }));
      await bundle("token-page.mjs", "browser", folder);
      copyFileSync(path.join(import.meta.dirname, "token-page.html"), path.join(folder, "token-page.html"));
      const issuer = await serveIssuer(t, folder);
      const server = await serveWithTokens({}, "--allowed-origins", issuer.url);
      t.after(() => server.stop());
      const lives = runtime === "Node.js" ? LIVES : LIVES_ELSEWHERE;
      const query = new URLSearchParams({ server: server.webSocketUrl, issuer: `${issuer.url}/token`, lives });
      const results = Object.entries(await run(t, query, issuer));
      assert.ok(results.length > 0);
      for (const [name, error] of results) await t.test(name, () => assert.equal(error, null));
    });
  }

  test("an issuer that is slower than the connect time-out is awaited", { timeout: HANG_MS }, async (t) => {
    const slow = async () => {
      await pause(600);
      return mint("ann", LONG_MS);
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
      return calls === 2 ? renewal.promise : mint("ann", ENDING_MS);
    });
    const reopened = deferred();
    client.addEventListener("state", ({ state }) => {
      if (state === "reconnecting") renewal.resolve(mint("ann", LONG_MS));
      if (state === "open") reopened.resolve();
    });
    await reopened.promise;
    await client.add("ann:late", { n: "1" });
  });
});
