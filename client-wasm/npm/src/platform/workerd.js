// workerd, Cloudflare's runtime. It compiles no module from bytes, but imports compiled ones.

import module from "../../dist/streamgate_wasm.wasm";
import { makeConnect } from "../client.js";

export * from "../exports.js";

export const connect = makeConnect(() => new WebAssembly.Instance(module));
