// Checks of what a caller passes: the module takes its types for granted. Every error names the
// argument.

import { StreamgateError } from "./errors.js";
import { AFTER, BEGINNING, LAST, NOW } from "./operations.js";

/** Hosts to which nobody can listen on the way. */
const OWN_MACHINE = /^(localhost|127(\.\d+){3}|\[::1\])$/;

const LONE_SURROGATE = /\p{Surrogate}/u;

/** Returns a string; throws for anything else, which `String()` would hide. */
export function text(value, what) {
  if (typeof value !== "string") throw new TypeError(`${what} must be a string`);
  return value;
}

/** Returns a name, or a field's value: bytes, or text that UTF-8 can encode. */
export function name(value, what) {
  if (value instanceof Uint8Array) return value;
  if (typeof value !== "string") throw new TypeError(`${what} must be a string or a Uint8Array`);
  if (LONE_SURROGATE.test(value)) throw new TypeError(`${what} has a lone surrogate, which UTF-8 cannot encode`);
  return value;
}

/** Returns a whole number that JavaScript represents exactly. */
export function wholeNumber(value, what) {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new TypeError(`${what} must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`);
  }
  return value;
}

/** Returns the number of fields of an object or of pairs, then name, value, name, value … */
export function flatFields(fields) {
  if (fields === null || typeof fields !== "object") {
    throw new TypeError("fields must be an object or pairs of name and value");
  }
  const flat = [];
  for (const pair of Symbol.iterator in fields ? fields : Object.entries(fields)) {
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw new TypeError("a field must be a pair of name and value");
    }
    flat.push(name(pair[0], "a field's name"), name(pair[1], "a field's value"));
  }
  return [flat.length / 2, ...flat];
}

/** Returns where a tail starts, as the module reads it. */
export function tailStart(from) {
  if (from === "beginning") return [BEGINNING, []];
  if (from === "now") return [NOW, []];
  if (typeof from === "string") return [AFTER, [from]];
  return [LAST, [wholeNumber(from?.last, "from.last")]];
}

/** Returns a list of one id or of several. */
export function idList(ids) {
  const list = typeof ids === "string" ? [ids] : Array.from(ids);
  for (const id of list) text(id, "an id");
  return list;
}

/** Returns the URL for a socket: absolute, and of a WebSocket. */
export function webSocketUrl(url) {
  let resolved;
  try {
    // Without a page there is no base, so the URL must be absolute.
    resolved = new URL(url, globalThis.location?.href);
  } catch {
    throw new StreamgateError("CONFIG", `invalid URL '${url}'`, "never");
  }
  if (resolved.protocol === "http:") resolved.protocol = "ws:";
  if (resolved.protocol === "https:") resolved.protocol = "wss:";
  // Browsers would refuse it later, without a reason.
  if (!/^wss?:$/.test(resolved.protocol) || resolved.hash) {
    throw new StreamgateError("CONFIG", `'${url}' is not the URL of a WebSocket`, "never");
  }
  return resolved.href;
}

/** Returns a token, or the function that returns tokens, if it may be sent to this URL. */
export function tokenFor(url, token) {
  if (token === undefined || token === null) return undefined;
  const { protocol, hostname } = new URL(url);
  if (protocol !== "wss:" && !OWN_MACHINE.test(hostname)) {
    throw new StreamgateError("CONFIG", `no token is sent to '${url}', which is not encrypted; use wss://`, "never");
  }
  return typeof token === "function" ? token : text(token, "token");
}
