// Results of requests, as the module writes them.

import { textOf } from "./bytes.js";
import { StreamgateError } from "./errors.js";
import { Reader } from "./reader.js";

/** Settles a promise with an `Outcome`, of which `record` is the part that its number announces. */
export function settle({ resolve, reject }, isError, record) {
  const reader = new Reader(record);
  if (isError) {
    const { text, optional, number } = reader;
    return reject(new StreamgateError(text(), text(), text(), optional(number)));
  }
  const kind = reader.number();
  // The length of its record.
  reader.number();
  resolve(REPLIES[kind](reader));
}

/** By their numbers in SPEC.md. */
const REPLIES = [
  ({ text }) => text(),
  ({ entries, optional, text }) => {
    const found = entries();
    const lastId = optional(text);
    if (lastId !== undefined) found.lastId = lastId;
    return found;
  },
  () => {},
  ({ number }) => number(),
  ({ number, optional, text, list, name }) => ({
    count: number(),
    smallest: optional(text),
    greatest: optional(text),
    consumers: list(() => ({ ...named("name", name()), pending: number() })),
  }),
  ({ list, text, name, number }) =>
    list(() => {
      number();
      return { id: text(), ...named("consumer", name()), idleMs: number(), deliveries: number() };
    }),
  ({ text, entries, list }) => ({ cursor: text(), entries: entries(), deleted: list(text) }),
  ({ number }) => number(),
  ({ list, name, number }) =>
    list(() => {
      number();
      return { ...named("name", name()), pending: number(), idleMs: number() };
    }),
];

/** A name as text, and as bytes if it is not UTF-8. */
function named(key, name) {
  const text = { [key]: textOf(name) };
  return typeof name === "string" ? text : { ...text, [`${key}Bytes`]: name };
}
