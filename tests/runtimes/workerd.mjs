// An edge worker in a real workerd.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

import { bundle, program } from "./bundle.mjs";

/** The newest compatibility date that the pinned workerd supports. */
const COMPATIBILITY_DATE = "2026-11-01";

/**
 * Starts a worker of a script of this folder, until the test ends. Returns its URL.
 *
 * @param v8Flags such as `"--expose-gc"`
 */
export async function startWorker(t, script, v8Flags = []) {
  const folder = mkdtempSync(path.join(tmpdir(), "streamgate-workerd-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  await bundle(script, "workerd,worker,browser", folder);
  const config = path.join(folder, "config.capnp");
  writeFileSync(config, configuration(readdirSync(folder), v8Flags));
  const workerd = spawn(program("workerd"), ["serve", config, "--control-fd=1"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(async () => {
    const ended = once(workerd, "exit");
    workerd.kill();
    await ended;
  });
  for await (const line of createInterface({ input: workerd.stdout })) {
    const event = JSON.parse(line);
    if (event.socket === "http") return `http://127.0.0.1:${event.port}/`;
  }
  throw new Error("workerd ended before it listened");
}

/** The configuration of a worker of these files. It may reach loopback. */
function configuration(files, v8Flags) {
  const modules = files.map((name) =>
    name.endsWith(".wasm")
      ? `(name = "./${name}", wasm = embed "${name}")`
      : `(name = "${name}", esModule = embed "${name}")`,
  );
  // The first module is the worker.
  modules.sort((a, b) => a.includes("wasm = embed") - b.includes("wasm = embed"));
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
  v8Flags = ${JSON.stringify(v8Flags)},
);
const worker :Workerd.Worker = (
  compatibilityDate = "${COMPATIBILITY_DATE}",
  modules = [${modules.join(", ")}],
);
`;
}
