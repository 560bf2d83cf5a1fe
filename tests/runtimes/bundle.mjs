// Bundles a script with the npm package, as an application does.
//
// STREAMGATE_RUNTIMES   where node_modules is   (default target/runtimes)

import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";

import { fromTarget } from "./proxy.mjs";

const modules = path.join(fromTarget("STREAMGATE_RUNTIMES", "runtimes"), "node_modules");

/** Returns the path of a program of an npm package. */
export function program(name) {
  return path.join(modules, ".bin", name);
}

/** Writes a bundle of a script of this folder into another, with the export conditions of a runtime. */
export async function bundle(script, conditions, folder) {
  const options = ["--bundle", "--format=esm", "--target=es2022", "--log-level=warning"];
  const files = ["--loader:.wasm=copy", "--asset-names=[name]", `--outdir=${folder}`];
  const entry = path.join(import.meta.dirname, script);
  await promisify(execFile)(program("esbuild"), [entry, ...options, ...files, `--conditions=${conditions}`], {
    env: { ...process.env, NODE_PATH: modules },
  });
}
