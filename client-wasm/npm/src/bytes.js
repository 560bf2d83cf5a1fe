// Names and values are bytes. Those that are UTF-8 are strings here; the others are `Uint8Array`s.

export const encoder = new TextEncoder();
// A byte order mark is part of a value.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const strictDecoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** Returns bytes as a string if they are UTF-8, else a copy of them. */
export function nameOf(bytes) {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return bytes.slice();
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
