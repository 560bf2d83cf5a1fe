// Reads what the module writes, in the binary encoding of protocol/SPEC.md.

import { nameOf, textOf } from "./bytes.js";
import { Entry } from "./entry.js";

/** Reads values, one after the other. The methods may be passed on as functions. */
export class Reader {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  get hasMore() {
    return this.#at < this.#bytes.length;
  }

  number = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.#at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };

  /** Reads bytes, or a record. */
  bytes = () => {
    const length = this.number();
    return this.#bytes.subarray(this.#at, (this.#at += length));
  };

  /** Reads a name or a value: a string if it is UTF-8. */
  name = () => {
    const length = this.number();
    return nameOf(this.#bytes, this.#at, (this.#at += length));
  };

  /** Reads a text, which is always UTF-8. */
  text = this.name;

  /** Reads an optional value: `undefined` if it is absent. */
  optional = (read) => (this.number() ? read() : undefined);

  list = (read) => {
    const items = [];
    for (let left = this.number(); left; left--) items.push(read());
    return items;
  };

  /** Reads entries, and makes them of their ids, their fields as text, and their fields as they are. */
  entries = (make = (...entry) => new Entry(...entry)) =>
    this.list(() => {
      const id = this.text();
      let isText = true;
      const reported = this.list(() => {
        const pair = [this.name(), this.name()];
        isText &&= typeof pair[0] === "string" && typeof pair[1] === "string";
        return pair;
      });
      return make(id, isText ? reported : reported.map((pair) => pair.map(textOf)), reported);
    });
}
