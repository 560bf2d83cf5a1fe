// Variables and patterns of the transcripts in protocol/sequences, as its README describes them.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

const sequences = path.resolve(import.meta.dirname, "../../protocol/sequences");

/** Reads the transcripts for a client: `{ name, about, needs, steps }`. */
export function clientTranscripts() {
  const folder = path.join(sequences, "client");
  const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
  return names.sort().map((name) => ({
    name: path.basename(name, ".json"),
    ...JSON.parse(readFileSync(path.join(folder, name), "utf8")),
  }));
}

const isVariable = (value) => typeof value === "string" && value.length > 1 && value[0] === "$";
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** The variables of one transcript. */
export class Variables {
  #values = new Map();

  set(name, value) {
    this.#values.set(name, value);
  }

  /** Replaces variables by their values; one without a value gets a text of its own. */
  fill(template) {
    if (isVariable(template)) {
      if (!this.#values.has(template)) this.set(template, `${template.slice(1)}-${randomUUID()}`);
      return this.#values.get(template);
    }
    if (Array.isArray(template)) return template.map((item) => this.fill(item));
    if (!isObject(template)) return template;
    if (template.$repeat) return template.$repeat[0].repeat(this.fill(template.$repeat[1]));
    if (template.$concat) return this.fill(template.$concat).join("");
    const fields = Object.entries(template).map(([key, value]) => [key, this.fill(value)]);
    return Object.fromEntries(fields);
  }

  /** Whether each pattern matches one value. Binds variables if so. */
  matchAll(patterns, values, anyOrder = false) {
    if (patterns.length !== values.length) return false;
    if (patterns.length === 0) return true;
    const [first, ...rest] = patterns;
    const before = new Map(this.#values);
    const places = anyOrder ? values.keys() : [0];
    for (const place of places) {
      if (this.#matches(first, values[place]) && this.matchAll(rest, values.toSpliced(place, 1), anyOrder)) return true;
      this.#values = new Map(before);
    }
    return false;
  }

  #matches(pattern, value) {
    if (pattern === "$_") return true;
    if (isVariable(pattern)) {
      if (!this.#values.has(pattern)) this.set(pattern, value);
      return isSame(this.#values.get(pattern), value);
    }
    if (Array.isArray(pattern)) return Array.isArray(value) && this.matchAll(pattern, value);
    if (!isObject(pattern)) return isSame(pattern, value ?? null);
    if (pattern.$repeat || pattern.$concat) return this.fill(pattern) === value;
    if (pattern.$between) return pattern.$between[0] <= value && value <= pattern.$between[1];
    if (pattern.$any_of) return pattern.$any_of.some((one) => this.#matches(one, value));
    if (pattern.$any_order) return Array.isArray(value) && this.matchAll(pattern.$any_order, value, true);
    return (
      isObject(value) &&
      Object.entries(value).every(([key, field]) => key in pattern || (field ?? null) === null) &&
      Object.entries(pattern).every(([key, field]) => this.#matches(field, value[key]))
    );
  }
}

function isSame(one, other) {
  try {
    assert.deepEqual(one, other);
    return true;
  } catch {
    return false;
  }
}
