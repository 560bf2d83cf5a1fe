// One entry of a stream.

import { text } from "./arguments.js";
import { bytesOf } from "./bytes.js";

/** One entry of a stream. Names may repeat, and their order is kept. */
export class Entry {
  /** The fields as the module reports them: names and values that are not UTF-8 are bytes. */
  #reported;

  /**
   * @param {string} id
   * @param {[string, string][]} fields
   */
  constructor(id, fields, reported = fields) {
    this.id = id;
    this.fields = fields;
    this.#reported = reported;
  }

  /** The first value with this name. */
  get(name) {
    return this.fields[this.#indexOf(name)]?.[1];
  }

  /** The bytes of the first value with this name. */
  getBytes(name) {
    const pair = this.#reported[this.#indexOf(name)];
    return pair && bytesOf(pair[1]);
  }

  #indexOf(name) {
    text(name, "name");
    return this.fields.findIndex(([other]) => other === name);
  }

  /** The fields as bytes. */
  toBytes() {
    return this.#reported.map((pair) => pair.map(bytesOf));
  }

  /** The fields as an object; of a name that repeats, the last value. */
  toObject() {
    return Object.fromEntries(this.fields);
  }
}
