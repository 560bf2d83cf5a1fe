// The operations on the pending entries of a group. The module has one method for all of them, which
// is a smaller download: see pending.rs.

import { entriesFrom, inGroupsOf } from "./entry.js";

export const SUMMARY = 0;
export const LIST = 1;
export const CLAIM = 2;
export const REMOVE_CONSUMER = 3;

/** The result of `SUMMARY`. */
export function summaryFrom([[count, smallest, greatest, ...consumers]]) {
  return { count, smallest, greatest, consumers: inGroupsOf(2, consumers) };
}

/** The result of `LIST`. */
export function listFrom([flat]) {
  return inGroupsOf(4, flat).map(([id, consumer, idleMs, deliveries]) => ({ id, consumer, idleMs, deliveries }));
}

/** The result of `CLAIM`. */
export function claimedFrom([entries, cursor, deleted]) {
  return { cursor, entries: entriesFrom(entries), deleted };
}
