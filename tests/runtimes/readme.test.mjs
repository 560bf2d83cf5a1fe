// Runs the JavaScript examples of the README unchanged against the real proxy, with the packed npm
// package.
//
// STREAMGATE_RUNTIMES   where node_modules is   (default target/runtimes)

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

import { serveWithTokens } from "./issuer.mjs";
import { Proxy, binary, fromTarget, workspace } from "./proxy.mjs";

/** Only a hang takes as long, on any machine. */
const HANG_MS = 5 * 60_000;

/** The address in the example, which the test replaces. */
const ADDRESS = "ws://127.0.0.1:8080/v1/ws";

const readme = readFileSync(path.join(workspace, "README.md"), "utf8");
const blocks = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);
assert.equal(blocks.length, 3, "a quickstart, an issuer, and a client with tokens");
const [quickstart, issuer, page] = blocks;

/** The steps of the quickstart for TLS and tokens, in order. */
const steps = [...readme.matchAll(/^   ```(\w+)\n(.*?)^   ```$/gms)].map(([, language, code]) => ({
  language,
  code: code.replaceAll(/^   /gm, ""),
}));
assert.deepEqual(
  steps.map(({ language }) => language),
  ["sh", "sh", "sh", "js", "sh"],
  "a certificate, settings, a server, a client, and its start",
);

test("the quickstart for browsers and edge workers runs twice in a row", async () => {
  const code = quickstart;
  assert.ok(code.includes(ADDRESS), "the example has the expected address");

  const proxy = await Proxy.start();
  // Next to node_modules, so that Node.js finds the package by its name.
  const script = path.join(fromTarget("STREAMGATE_RUNTIMES", "runtimes"), `readme-${process.pid}.mjs`);
  writeFileSync(script, code.replace(ADDRESS, proxy.webSocketUrl));
  try {
    for (const run of ["first", "second"]) {
      const node = promisify(execFile)(process.execPath, ["--experimental-websocket", script], { timeout: HANG_MS });
      const { stdout } = await node;
      const lines = stdout.trim().split("\n");
      assert.equal(lines[0], "true tea", run);
      assert.match(lines[1], /^\d+-\d+ \[ \[ 'item', 'milk' \], \[ 'item', 'sugar' \] \]$/);
      assert.equal(lines[2], "followed milk");
      assert.equal(lines.length, 3);
    }
  } finally {
    rmSync(script);
    await proxy.stop();
  }
});

test("the serverless issuer's tokens let a page in, and nobody who is signed out", async (t) => {
  const SECRET = "0123456789abcdef0123456789abcdef";
  const server = await serveWithTokens({ id: "dev", secret: SECRET, streams: "user:{sub}:*" });
  t.after(() => server.stop());
  const folder = fromTarget("STREAMGATE_RUNTIMES", "runtimes");
  const place = (name) => path.join(folder, `readme-${name}-${process.pid}.mjs`);
  writeFileSync(place("issuer"), issuer);
  // The page's fetch reaches the function, with the user's session.
  const prelude = `
    import issuer from ${JSON.stringify(pathToFileURL(place("issuer")))};
    globalThis.fetch = (target) => {
      const headers = process.env.PAGE_USER ? { "x-user": process.env.PAGE_USER } : {};
      const request = new Request(new URL(target, "https://app.example.com"), { headers });
      return issuer.fetch(request, { SECRET: "${SECRET}" });
    };
  `;
  const address = "wss://streams.example.com/v1/ws";
  assert.ok(page.includes(address), "the example has the expected address");
  writeFileSync(place("page"), prelude + page.replace(address, server.webSocketUrl));
  t.after(() => ["issuer", "page"].forEach((name) => rmSync(place(name))));
  const run = (user) =>
    promisify(execFile)(process.execPath, ["--experimental-websocket", place("page")], {
      timeout: HANG_MS,
      env: { ...process.env, PAGE_USER: user },
    });
  const { stdout } = await run("ann");
  assert.match(stdout, /^open \d+-\d+\n$/);
  await assert.rejects(run(""), /NOAUTH/);
  await assert.rejects(run("bob"), /NOPERM/);
});

test("an empty folder becomes a server with TLS, and a client with a token", { timeout: HANG_MS }, async (t) => {
  const [certificate, settings, start, client, run] = steps.map(({ code }) => code);
  const folder = mkdtempSync(path.join(tmpdir(), "streamgate-readme-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  symlinkSync(path.join(fromTarget("STREAMGATE_RUNTIMES", "runtimes"), "node_modules"), path.join(folder, "node_modules"));
  symlinkSync(binary, path.join(folder, "streamgate"));
  const env = {
    ...process.env,
    PATH: `${folder}:${path.dirname(process.execPath)}:${process.env.PATH}`,
    NODE_OPTIONS: "--experimental-websocket",
  };
  const shell = (code) => promisify(execFile)("bash", ["-euc", code], { cwd: folder, env, timeout: HANG_MS });
  await shell(certificate);
  const { stdout: checked } = await shell(settings);
  assert.match(checked, /user +read,add +user:\{sub\}:\*/);
  assert.equal(start, "streamgate serve --config streamgate.toml\n");
  // On a free port, for this machine alone.
  const server = await Proxy.start("--config", path.join(folder, "streamgate.toml"));
  t.after(() => server.stop());
  assert.ok(client.includes("localhost:8443"));
  writeFileSync(path.join(folder, "client.mjs"), client.replace("localhost:8443", `localhost:${server.port}`));
  const { stdout } = await shell(run);
  const [read, refused] = stdout.split("\n");
  assert.equal(read, "true tea");
  assert.match(refused, /NOPERM.*user:bob:orders/);
});
