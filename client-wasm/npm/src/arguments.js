// Checks of what a caller passes: the module takes its types for granted. A check takes a value and
// its name, and returns what travels of it. Every error names the argument, and shows what it was.

import { StreamgateError } from "./errors.js";
import { AFTER, BEGINNING, LAST, NOW } from "./operations.js";
import { list, option } from "./writer.js";

/** Hosts to which nobody can listen on the way. */
const OWN_MACHINE = /^(localhost|127(\.\d+){3}|\[::1\])$/;

const LONE_SURROGATE = /\p{Surrogate}/u;

/** Takes a string; `String()` would hide anything else. */
export function text(value, what) {
  return typeof value === "string" ? [value] : wrong(what, "a string", value);
}

/** Takes a name, or the value of a field: bytes, or text that UTF-8 can encode. */
export function name(value, what, field) {
  if (value instanceof Uint8Array) return [value];
  if (typeof value !== "string") wrong(what, "a string or a Uint8Array", value, field);
  // UTF-8 cannot encode it.
  if (LONE_SURROGATE.test(value)) wrong(what, "without a lone surrogate", value, field);
  return [value];
}

/** Takes a whole number that JavaScript represents exactly. */
export function wholeNumber(value, what) {
  if (Number.isSafeInteger(value) && value >= 0) return [value];
  wrong(what, "a whole number from 0 to 2^53 - 1", value);
}

/** Takes an object or pairs: the number of fields, then name, value, name, value … */
export function flatFields(fields, what) {
  if (typeof fields !== "object" || !fields) wrong(what, "an object or pairs", fields);
  const flat = [];
  for (const pair of Symbol.iterator in fields ? fields : Object.entries(fields)) {
    if (!Array.isArray(pair) || pair.length !== 2) wrong("a field", "a pair of name and value", pair);
    flat.push(...name(pair[0], "the name of a field"), ...name(pair[1], "the value of field", pair[0]));
  }
  return [flat.length / 2, ...flat];
}

/** Takes where a tail starts. `null`, such as an item that a storage lacks, is no start. */
export function tailStart(from = "now", what) {
  if (from === "beginning") return [BEGINNING, []];
  if (from === "now") return [NOW, []];
  if (typeof from === "string") return [AFTER, [from]];
  if (!isObject(from)) wrong(what, "'beginning', 'now', an id or { last }", from);
  return [LAST, wholeNumber(from.last, `${what}.last`)];
}

/** Takes an id, an entry or anything else with an `id`, or several of these. */
export function idList(value) {
  const idOf = (item) => text(item?.id ?? item, "the id of an entry")[0];
  const isList = typeof value === "object" && value?.[Symbol.iterator];
  return list(isList ? Array.from(value, idOf) : [idOf(value)]);
}

/** Takes the URL for a socket: absolute, and of a WebSocket. */
export function webSocketUrl(value, what) {
  const [url] = value instanceof URL ? [value.href] : text(value, what);
  let resolved;
  try {
    // Without a page there is no base, so the URL must be absolute.
    resolved = new URL(url, globalThis.location?.href);
  } catch {
    throw new StreamgateError("CONFIG", `invalid URL '${url}'`, "never");
  }
  resolved.protocol = resolved.protocol.replace("http", "ws");
  // Browsers would refuse it later, without a reason.
  if (!/^wss?:$/.test(resolved.protocol) || resolved.hash) {
    throw new StreamgateError("CONFIG", `'${url}' is not the URL of a WebSocket`, "never");
  }
  return [resolved.href];
}

/** Makes a check of an option of which nothing travels. */
export function local(isRight, wanted) {
  return (value, what) => (isAbsent(value) || isRight(value) ? [] : wrong(what, wanted, value));
}

/** Makes a check of an argument that travels as an optional field. */
export function optional(check) {
  return (value, what) => option(...(isAbsent(value) ? [] : check(value, what)));
}

/** Makes a check of an argument that has a default. */
export function or(check, byDefault) {
  return (value, what) => check(value ?? byDefault, what);
}

/**
 * Checks the arguments of a method by those of its parameters, the last of which are the options.
 * Returns all that travels, in the order of the checks, and the options.
 */
export function check([parameters, known], values) {
  const fields = [];
  let index = 0;
  for (const what in parameters) append(fields, parameters[what](values[index++], what));
  const { [index]: options = {} } = values;
  if (!isObject(options)) wrong("options", "an object", options);
  for (const what in options) {
    if (!Object.hasOwn(known, what)) {
      throw new TypeError(`unknown option '${what}'; did you mean '${nearest(what, Object.keys(known))}'?`);
    }
  }
  for (const what in known) append(fields, known[what](options[what], what));
  return [fields, options];
}

/** A spread would use the stack, and `concat` is slow. */
function append(fields, more) {
  for (const field of more) fields.push(field);
}

/** Throws if a token may not be sent to a URL. */
export function checkTokenUrl(url) {
  const { protocol, hostname } = new URL(url);
  if (protocol !== "wss:" && !OWN_MACHINE.test(hostname)) {
    throw new StreamgateError("CONFIG", `'${url}' is not encrypted; with a token use wss://`, "never");
  }
}

/** `field` is the name of the field of which `what` is. */
function wrong(what, wanted, value, field) {
  const shown = isObject(value) ? (value.constructor?.name ?? "object") : typeof value === "string" ? `'${value}'` : String(value);
  const whole = field === undefined ? what : `${what} '${field}'`;
  throw new TypeError(`${whole} must be ${wanted}, not ${shown}`);
}

/** Returns the name that has the most letters of a word, in its order. */
function nearest(word, names) {
  const likeness = (name) => {
    let at = 0;
    let found = 0;
    for (const letter of word.toLowerCase()) {
      const next = name.toLowerCase().indexOf(letter, at) + 1;
      if (next) [at, found] = [next, found + 1];
    }
    return found / (word.length + name.length);
  };
  return names.reduce((best, name) => (likeness(name) > likeness(best) ? name : best));
}

function isObject(value) {
  return Object(value) === value;
}

function isAbsent(value) {
  return value === undefined || value === null;
}
