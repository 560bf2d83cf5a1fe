// Names and values are bytes. Those that are UTF-8 are strings here; the others are `Uint8Array`s.

export const encoder = new TextEncoder();
// A byte order mark is part of a value.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const strictDecoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** Up to as many bytes, a loop is faster than a decoder. */
const SHORT_BYTES = 12;

/** Returns the bytes from `start` to `end` as a string if they are UTF-8, else a copy of them. */
export function nameOf(bytes, start, end) {
  let text = "";
  if (end - start <= SHORT_BYTES) {
    let at = start;
    while (at < end && bytes[at] < 128) text += String.fromCharCode(bytes[at++]);
    if (at === end) return text;
  }
  try {
    return strictDecoder.decode(bytes.subarray(start, end));
  } catch {
    return bytes.slice(start, end);
  }
}

/** Returns a name or a value as text: bytes that are not UTF-8 become U+FFFD. */
export function textOf(name) {
  return typeof name === "string" ? name : decoder.decode(name);
}

/** Returns a name or a value as bytes. */
export function bytesOf(name) {
  return typeof name === "string" ? encoder.encode(name) : name;
}
