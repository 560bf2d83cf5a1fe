// One entry of a stream, and how entries come out of the module.

import { bytesOf, textOf } from "./bytes.js";

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
    return this.fields.find(([other]) => other === name)?.[1];
  }

  /** The bytes of the first value with this name. */
  getBytes(name) {
    const index = this.fields.findIndex(([other]) => other === name);
    return index < 0 ? undefined : bytesOf(this.#reported[index][1]);
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

/**
 * Makes entries of the module's flat list: for each entry its id, the number of its fields, then
 * name, value, name, value …
 */
export function entriesFrom(flat, make = (...entry) => new Entry(...entry)) {
  const entries = [];
  let index = 0;
  while (index < flat.length) {
    const id = flat[index++];
    const reported = new Array(flat[index++]);
    let isText = true;
    for (let i = 0; i < reported.length; i++) {
      const [name, value] = (reported[i] = [flat[index++], flat[index++]]);
      isText &&= typeof name === "string" && typeof value === "string";
    }
    const fields = isText ? reported : reported.map((pair) => pair.map(textOf));
    entries.push(make(id, fields, reported));
  }
  return entries;
}

/** Splits a flat list into groups of `size`. */
export function inGroupsOf(size, flat) {
  return Array.from({ length: flat.length / size }, (_, i) => flat.slice(i * size, (i + 1) * size));
}
