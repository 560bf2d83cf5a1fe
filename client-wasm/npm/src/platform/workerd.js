// workerd, Cloudflare's runtime. It compiles no module from bytes, but imports compiled ones.

import module from "../../dist/streamgate_wasm.wasm";
import { Connection, initSync } from "../../dist/streamgate_wasm.js";
import { makeConnect } from "../client.js";

export * from "../exports.js";

export const connect = makeConnect(load);

async function load() {
  initSync({ module });
  return { Connection };
}
