// The results of the operations on pending entries, made of what the module reports.

import { entriesFrom, inGroupsOf } from "./entry.js";

export function summaryFrom([[count, smallest, greatest, ...consumers]]) {
  return { count, smallest, greatest, consumers: inGroupsOf(2, consumers) };
}

export function listFrom([flat]) {
  return inGroupsOf(4, flat).map(([id, consumer, idleMs, deliveries]) => ({ id, consumer, idleMs, deliveries }));
}

export function consumersFrom([flat]) {
  return inGroupsOf(3, flat).map(([name, pending, idleMs]) => ({ name, pending, idleMs }));
}

export function claimedFrom([entries, cursor, deleted]) {
  return { cursor, entries: entriesFrom(entries), deleted };
}
