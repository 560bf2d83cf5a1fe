// Browsers, Deno, and every runtime with the interfaces of the web. The module is text inside the
// script, so that every bundler and every static file server works.

import text from "../../dist/module-inline.js";
import { makeEntryPoints } from "../client.js";

export * from "../exports.js";

export const { connect, open } = makeEntryPoints(async () => WebAssembly.instantiate(await load()));

let loading;

/** Compiles the module once for all clients, and again only after a failure. */
function load() {
  return (loading ??= compile().catch((error) => {
    loading = undefined;
    throw error;
  }));
}

async function compile() {
  const deflated = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const inflated = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return WebAssembly.compile(await new Response(inflated).arrayBuffer());
}
