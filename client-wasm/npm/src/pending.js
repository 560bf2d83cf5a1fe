// The operations on the pending entries of a group. The module has one method for all four of them,
// which is a smaller download: see pending.rs.

import { text, wholeNumber } from "./arguments.js";
import { entriesFrom, inGroupsOf } from "./entry.js";

const SUMMARY = 0;
const LIST = 1;
const CLAIM = 2;
const REMOVE_CONSUMER = 3;

/** How many entries are pending, and which consumers hold them. */
export async function pendingSummary(request, names) {
  const [[count, smallest, greatest, ...consumers]] = await perform(request, SUMMARY, names);
  return { count, smallest, greatest, consumers: inGroupsOf(2, consumers) };
}

/** The pending entries themselves. */
export async function pendingList(request, names, count, minIdleMs) {
  const [flat] = await perform(request, LIST, names, count, minIdleMs);
  return inGroupsOf(4, flat).map(([id, consumer, idleMs, deliveries]) => ({ id, consumer, idleMs, deliveries }));
}

/** Claims idle entries for a consumer. */
export async function claim(request, names, count, minIdleMs) {
  const [entries, cursor, deleted] = await perform(request, CLAIM, names, count, minIdleMs ?? NaN);
  return { cursor, entries: entriesFrom(entries), deleted };
}

/** Removes a consumer; returns how many entries its new owner got. */
export async function removeConsumer(request, names) {
  const [handedOver] = await perform(request, REMOVE_CONSUMER, names);
  return handedOver;
}

/** `request` makes a request with a function of the connection and the time. */
function perform(request, operation, names, count, minIdleMs) {
  return request((connection, now) =>
    connection.pending(
      operation,
      Object.entries(names).map(([what, name]) => text(name, what)),
      wholeNumber(count, "count"),
      wholeNumber(minIdleMs, "minIdleMs"),
      now,
    ),
  );
}
