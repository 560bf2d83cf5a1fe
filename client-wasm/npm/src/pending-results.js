// The results of the operations on pending entries, made of what the module reports.

import { textOf } from "./bytes.js";
import { entriesFrom, inGroupsOf } from "./entry.js";

export function summaryFrom([[count, smallest, greatest, ...flat]]) {
  const consumers = inGroupsOf(2, flat).map(([consumer, pending]) => ({ ...named("name", consumer), pending }));
  return { count, smallest, greatest, consumers };
}

export function listFrom([flat]) {
  return inGroupsOf(4, flat).map(([id, consumer, idleMs, deliveries]) => ({
    id,
    ...named("consumer", consumer),
    idleMs,
    deliveries,
  }));
}

export function consumersFrom([flat]) {
  return inGroupsOf(3, flat).map(([name, pending, idleMs]) => ({ ...named("name", name), pending, idleMs }));
}

export function claimedFrom([entries, cursor, deleted]) {
  return { cursor, entries: entriesFrom(entries), deleted };
}

/** A name as text, and as bytes if it is not UTF-8. */
function named(key, reported) {
  const text = { [key]: textOf(reported) };
  return typeof reported === "string" ? text : { ...text, [`${key}Bytes`]: reported };
}
