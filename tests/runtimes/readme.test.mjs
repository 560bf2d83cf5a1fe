// Runs the JavaScript example of the README unchanged against the real proxy, with the packed npm
// package.
//
// STREAMGATE_RUNTIMES   where node_modules is   (default target/runtimes)

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { Proxy, fromTarget, workspace } from "./proxy.mjs";

/** Only a hang takes as long, on any machine. */
const HANG_MS = 5 * 60_000;

/** The address in the example, which the test replaces. */
const ADDRESS = "ws://127.0.0.1:8080/v1/ws";

test("the quickstart for browsers and edge workers runs twice in a row", async () => {
  const readme = readFileSync(path.join(workspace, "README.md"), "utf8");
  const blocks = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);
  assert.equal(blocks.length, 1);
  const [code] = blocks;
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
