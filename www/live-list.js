// The live list: the newest entries, gaps in their places, and which consumer received what.

import { fieldsOf, idOf } from "./entry.js";
import { gapRow } from "./gap.js";
import { oncePerFrame } from "./scheduling.js";

/** Rows in the page; older ones leave it. */
export const ROWS = 50;
/** Ids whose consumer is remembered: deliveries may come before the entry itself. */
const OWNERS = 1_000;
/** Above this many new rows in a frame, a highlight would only flicker. */
const HIGHLIGHT_ROWS = 3;

export class LiveList {
  /** `{ entry }` or `{ gap }`, newest first. */
  #newest = [];
  /** By item, not by id: a recreated stream may use an id again. */
  #rows = new Map();
  #rowOf = new Map();
  #owners = new Map();
  #held = false;
  /** Whether it offers to try again. */
  #failed = false;
  #fresh = false;
  #draw = oncePerFrame(() => this.#render());
  #view = {
    list: document.querySelector("#entries"),
    empty: document.querySelector("#live-empty"),
    emptyText: document.querySelector("#live-empty-text"),
    retry: document.querySelector("#live-retry"),
    hold: document.querySelector("#hold"),
  };

  /** @param retry is called when the visitor wants to try again after an error */
  constructor(retry) {
    this.#view.hold.addEventListener("click", () => this.#hold(!this.#held));
    this.#view.retry.addEventListener("click", retry);
  }

  /** Puts `entries`, oldest first, on top; `fresh` ones are highlighted if they are few. */
  add(entries, fresh) {
    this.#fresh ||= fresh;
    this.#put(entries.slice(-ROWS).map((entry) => ({ entry })));
  }

  /** Adds a gap at the top, before the entries after it. */
  addGap(gap) {
    // Deliveries were of the previous stream, whose ids may come again.
    if (gap.reason === "recreated") this.#owners.clear();
    this.#put([{ gap }]);
  }

  /** Marks the entry `id` as delivered to `consumer`, an object with `name` and `tone`. */
  delivered(id, consumer) {
    this.#owners.delete(id);
    this.#owners.set(id, { consumer, acked: false });
    if (this.#owners.size > OWNERS) this.#owners.delete(this.#owners.keys().next().value);
    this.#mark(id);
  }

  /** Marks the entry `id` as acknowledged. */
  acknowledged(id) {
    const owner = this.#owners.get(id);
    if (!owner) return;
    owner.acked = true;
    this.#mark(id);
  }

  /** Shows a text while the list is empty, or above it with an offer to `retry`. */
  say(text, retry = false) {
    this.#view.emptyText.textContent = text;
    this.#failed = retry;
    this.#showEmpty();
  }

  #showEmpty() {
    this.#view.retry.hidden = !this.#failed;
    this.#view.empty.hidden = this.#newest.length > 0 && !this.#failed;
  }

  #put(items) {
    this.#newest = [...items.reverse(), ...this.#newest].slice(0, ROWS);
    this.#draw();
  }

  #render() {
    if (this.#held) return;
    this.#showEmpty();
    const wanted = new Set(this.#newest);
    for (const [item, row] of this.#rows) {
      if (wanted.has(item)) continue;
      row.remove();
      this.#rows.delete(item);
      if (this.#rowOf.get(row.dataset.id) === row) this.#rowOf.delete(row.dataset.id);
    }
    const added = this.#newest.filter((item) => !this.#rows.has(item));
    const highlight = this.#fresh && added.length <= HIGHLIGHT_ROWS;
    this.#fresh = false;
    const rows = added.map((item) => {
      const row = item.gap ? gapRow(item.gap) : this.#entryRow(item.entry, highlight);
      this.#rows.set(item, row);
      return row;
    });
    this.#view.list.prepend(...rows);
  }

  #entryRow(entry, highlight) {
    const row = document.createElement("li");
    row.className = highlight ? "entry new" : "entry";
    row.dataset.testid = "entry";
    row.dataset.id = entry.id;
    const owner = document.createElement("span");
    owner.className = "entry-owner";
    row.append(idOf(entry), fieldsOf(entry), owner);
    this.#rowOf.set(entry.id, row);
    this.#mark(entry.id);
    return row;
  }

  #mark(id) {
    const row = this.#rowOf.get(id);
    const owner = this.#owners.get(id);
    if (!row || !owner) return;
    const cell = row.lastElementChild;
    cell.dataset.tone = owner.consumer.tone;
    cell.dataset.acked = owner.acked;
    cell.textContent = owner.consumer.name;
    cell.title = owner.acked ? "acknowledged" : "pending";
  }

  #hold(held) {
    this.#held = held;
    this.#view.hold.setAttribute("aria-pressed", held);
    this.#view.list.classList.toggle("held", held);
    if (!held) {
      this.#view.list.scrollTop = 0;
      this.#draw();
    }
  }
}
