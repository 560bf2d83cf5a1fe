// Browsers, Deno, and every runtime with the interfaces of the web. The module is text inside the
// script, so that every bundler and every static file server works.

import start, { Connection } from "../../dist/streamgate_wasm.js";
import text from "../../dist/module-inline.js";
import { makeConnect } from "../client.js";

export * from "../exports.js";

export const connect = makeConnect(load);

let loading;

/** Loads the module once for all clients, and again only after a failure. */
function load() {
  return (loading ??= compile().catch((error) => {
    loading = undefined;
    throw error;
  }));
}

async function compile() {
  const deflated = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const inflated = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  await start({ module_or_path: await new Response(inflated).arrayBuffer() });
  return { Connection };
}
