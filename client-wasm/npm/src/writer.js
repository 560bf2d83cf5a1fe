// Writes what the module receives, in the binary encoding of protocol/SPEC.md.

import { encoder } from "./bytes.js";

/** A buffer of more bytes is not kept: it was a large request. */
const KEPT_BYTES = 2 ** 16;

/** The bytes that a number takes at most. */
const NUMBER_BYTES = 8;

let buffer = new Uint8Array(1024);
let end;

/** Returns the values of an optional field: none is 0, and any other follows a 1. */
export function option(value) {
  return value === undefined ? [0] : [1, value];
}

/** Returns the values of a list. */
export function list(items) {
  return [items.length, ...items];
}

/**
 * Encodes values, one after the other: numbers; names and values, which are strings or bytes; and
 * records, which are arrays. The result is overwritten by the next call.
 */
export function encode(values) {
  if (buffer.length > KEPT_BYTES) buffer = new Uint8Array(1024);
  end = 0;
  values.forEach(append);
  return buffer.subarray(0, end);
}

function append(value) {
  if (typeof value === "number") {
    reserve(NUMBER_BYTES);
    for (; value > 127; value = Math.floor(value / 128)) buffer[end++] = (value % 128) | 128;
    buffer[end++] = value;
    return;
  }
  // At most three bytes for each unit of a string.
  reserve(NUMBER_BYTES + value.length * 3);
  const start = ++end;
  if (typeof value === "string") end += encoder.encodeInto(value, buffer.subarray(end)).written;
  else if (Array.isArray(value)) value.forEach(append);
  else {
    buffer.set(value, end);
    end += value.length;
  }
  // Most lengths fit into the byte before. For the others, what follows is moved.
  const length = end - start;
  if (length > 127) {
    const copy = buffer.slice(start, end);
    end = start - 1;
    append(length);
    reserve(copy.length);
    buffer.set(copy, end);
    end += copy.length;
  } else buffer[start - 1] = length;
}

function reserve(bytes) {
  if (end + bytes <= buffer.length) return;
  const larger = new Uint8Array(2 * (end + bytes));
  larger.set(buffer);
  buffer = larger;
}
