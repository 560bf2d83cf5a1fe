import { StreamgateError } from "./errors.js";

// What callers pass, checked where it enters: the module takes strings and numbers for granted.

/** A string as it is; anything else is a mistake that `String()` would hide. */
export function text(value, what) {
  if (typeof value !== "string") throw new TypeError(`${what} must be a string`);
  return value;
}

/** The same, where it may be absent. */
export function optionalText(value, what) {
  return value === undefined || value === null ? undefined : text(value, what);
}

/** A whole number that JavaScript can hold exactly, or -1 for an absent one. */
export function wholeNumber(value, what) {
  if (value === undefined || value === null) return -1;
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new TypeError(`${what} must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`);
  }
  return value;
}

/** Name, value, name, value … of an object or of pairs. */
export function flatFields(fields) {
  if (fields === null || typeof fields !== "object") {
    throw new TypeError("fields must be an object or pairs of name and value");
  }
  const flat = [];
  for (const pair of Symbol.iterator in fields ? fields : Object.entries(fields)) {
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw new TypeError("a field must be a pair of name and value");
    }
    flat.push(text(pair[0], "a field's name"), text(pair[1], "a field's value"));
  }
  return flat;
}

/** Where a tail starts, as the module takes it: a word or an id, and how many entries back. */
export function tailStart(from) {
  return typeof from === "string" ? [from, -1] : ["", wholeNumber(from?.last ?? NaN, "from.last")];
}

/** One id or several. */
export function idList(ids) {
  const list = typeof ids === "string" ? [ids] : Array.from(ids);
  for (const id of list) text(id, "an id");
  return list;
}

/** The address as the module takes it: absolute, and of a WebSocket. */
export function webSocketUrl(url) {
  let resolved;
  try {
    // Without a page there is no base; then only an absolute address will do.
    resolved = new URL(url, globalThis.location?.href);
  } catch {
    throw new StreamgateError("CONFIG", `${url} is no address`, "never");
  }
  if (resolved.protocol === "http:") resolved.protocol = "ws:";
  if (resolved.protocol === "https:") resolved.protocol = "wss:";
  return resolved.href;
}
