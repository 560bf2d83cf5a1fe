// Node.js and Bun. The module is compiled synchronously: a process that waits for nothing else
// would end before an asynchronous compilation.

import { inflateRawSync } from "node:zlib";
import { Connection, initSync } from "../../dist/streamgate_wasm.js";
import text from "../../dist/module-inline.js";
import { makeConnect } from "../client.js";

export * from "../exports.js";

export const connect = makeConnect(load);

let module;

async function load() {
  module ??= new WebAssembly.Module(inflateRawSync(Buffer.from(text, "base64")));
  initSync({ module });
  return { Connection };
}
