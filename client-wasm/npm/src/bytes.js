// Names and values are bytes. Those that are UTF-8 are strings here; the others are `Uint8Array`s.

const encoder = new TextEncoder();
// A byte order mark is part of a value.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Returns the text of what the module reports, with U+FFFD for what is not UTF-8. */
export function textOf(reported) {
  return typeof reported === "string" ? reported : decoder.decode(reported);
}

/** Returns the bytes of what the module reports. */
export function bytesOf(reported) {
  return typeof reported === "string" ? encoder.encode(reported) : reported;
}
