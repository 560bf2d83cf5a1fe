// Browsers, Deno, and all else that has the web's own interfaces. The module comes as text, so that
// every bundler and every server of static files will do.

import start, { Connection } from "../../dist/streamgate_wasm.js";
import text from "../../dist/module-inline.js";
import { bind } from "../client.js";

export * from "../exports.js";

export const connect = bind(load);

let loading;

/** Once for all clients; again only if it failed. */
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
