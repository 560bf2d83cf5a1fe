// Names and values are bytes. Those that are UTF-8 are strings here; the others are `Uint8Array`s.

const encoder = new TextEncoder();
// A byte order mark is part of a value.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Returns a name or a value as text: bytes that are not UTF-8 become U+FFFD. */
export function textOf(reported) {
  return typeof reported === "string" ? reported : decoder.decode(reported);
}

/** Returns a name or a value as bytes. */
export function bytesOf(reported) {
  return typeof reported === "string" ? encoder.encode(reported) : reported;
}
