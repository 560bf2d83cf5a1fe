// workerd, Cloudflare's runtime. It compiles no module from bytes, but imports compiled ones.

import module from "../../dist/streamgate_wasm.wasm";
import { makeEntryPoints } from "../client.js";

export * from "../exports.js";

export const { connect, open } = makeEntryPoints(() => new WebAssembly.Instance(module));
