// One entry of a stream, and how entries come out of the module.

/** One entry of a stream. Names may repeat, and their order is kept. */
export class Entry {
  /**
   * @param {string} id
   * @param {[string, string][]} fields
   */
  constructor(id, fields) {
    this.id = id;
    this.fields = fields;
  }

  /** The first value with this name. */
  get(name) {
    return this.fields.find(([other]) => other === name)?.[1];
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
export function entriesFrom(flat, make = (id, fields) => new Entry(id, fields)) {
  const entries = [];
  let index = 0;
  while (index < flat.length) {
    const id = flat[index++];
    const fields = new Array(flat[index++]);
    for (let i = 0; i < fields.length; i++) fields[i] = [flat[index++], flat[index++]];
    entries.push(make(id, fields));
  }
  return entries;
}

/** Splits a flat list into groups of `size`. */
export function inGroupsOf(size, flat) {
  return Array.from({ length: flat.length / size }, (_, i) => flat.slice(i * size, (i + 1) * size));
}
