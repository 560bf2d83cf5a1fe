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
 * The inverse of the module's flat list: for each entry its id, the number of its fields, then
 * name, value, name, value …
 */
export function entriesFrom(flat, make = (id, fields) => new Entry(id, fields)) {
  const entries = [];
  let place = 0;
  while (place < flat.length) {
    const id = flat[place++];
    const fields = new Array(flat[place++]);
    for (let i = 0; i < fields.length; i++) fields[i] = [flat[place++], flat[place++]];
    entries.push(make(id, fields));
  }
  return entries;
}

/** The inverse of a flat list of parts, so many of which belong together. */
export function inGroupsOf(size, flat) {
  return Array.from({ length: flat.length / size }, (_, i) => flat.slice(i * size, (i + 1) * size));
}
