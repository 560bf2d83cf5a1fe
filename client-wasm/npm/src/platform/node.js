// Node.js and Bun. The module is compiled synchronously: a process that waits for nothing else
// would end before an asynchronous compilation.

import { inflateRawSync } from "node:zlib";
import text from "../../dist/module-inline.js";
import { makeEntryPoints } from "../client.js";

export * from "../exports.js";

let module;

export const { connect, open } = makeEntryPoints(() => {
  module ??= new WebAssembly.Module(inflateRawSync(Buffer.from(text, "base64")));
  return new WebAssembly.Instance(module);
});
