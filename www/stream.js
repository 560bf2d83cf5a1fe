// The stream, live: one loop that reads from the last id, one list that shows the newest.

import { fieldsOf, idOf } from "./entry.js";
import { keepGoing, nextFrame, oncePerFrame } from "./pace.js";

/** Rows in the page; older ones leave it. */
const ROWS = 50;
/** Entries one read may bring: about what a busy stream gathers in a few frames. */
const READ_COUNT = 1_000;
const READ_BLOCK_MS = 15_000;
/** Ids whose consumer is remembered: deliveries may come before the entry itself. */
const OWNERS = 1_000;
/** Above this many new rows in a frame, a highlight would only flicker. */
const HIGHLIGHT_ROWS = 3;

export class LiveStream {
  /** Every entry up to this id has been read; undefined until the first answer. */
  lastId;
  #connection;
  #stream;
  #problems;
  #chart;
  #total = 0;
  #newest = [];
  #rows = new Map();
  #owners = new Map();
  #held = false;
  #fresh = false;
  #draw = oncePerFrame(() => this.#render());
  #view = {
    list: document.querySelector("#entries"),
    total: document.querySelector("#total"),
    empty: document.querySelector("#live-empty"),
    emptyText: document.querySelector("#live-empty-text"),
    retry: document.querySelector("#live-retry"),
    hold: document.querySelector("#hold"),
  };

  constructor(connection, stream, chart, problems) {
    this.#connection = connection;
    this.#stream = stream;
    this.#chart = chart;
    this.#problems = problems;
    this.#view.hold.addEventListener("click", () => this.#hold(!this.#held));
    this.#view.retry.addEventListener("click", () => this.follow());
  }

  /** Reads until an error says that there is no use; the page then offers to read again. */
  async follow() {
    this.#say("Reading the stream.");
    try {
      await keepGoing(this.#connection, new AbortController().signal, (client) => this.#read(client), (error) =>
        this.#problems.report("read", error),
      );
    } catch (error) {
      this.#problems.report("read", error);
      this.#say(`Reading stopped: ${error.code ?? error.name}.`, true);
    }
  }

  /** Marks the entry `id` as given to `consumer`, an object with `name` and `tone`. */
  given(id, consumer) {
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

  async #read(client) {
    if (this.lastId === undefined) {
      const backlog = await client.readLatest(this.#stream, ROWS);
      // Reading on from the newest shown, or from the very start, leaves no gap that "$" would.
      this.lastId = backlog[0]?.id ?? "0-0";
      this.#newest = backlog;
      this.#say("Nothing here yet. Publish an entry and it appears at once.");
      this.#draw();
      return;
    }
    const entries = await client.read(this.#stream, this.lastId, { count: READ_COUNT, blockMs: READ_BLOCK_MS });
    this.lastId = entries.lastId;
    if (entries.length === 0) return;
    this.#total += entries.length;
    this.#chart.add(entries.length);
    this.#newest = [...entries.slice(-ROWS).reverse(), ...this.#newest].slice(0, ROWS);
    this.#fresh = true;
    this.#draw();
    // One read a frame: a busy stream then comes in batches instead of a thousand small answers.
    await nextFrame();
  }

  #render() {
    this.#view.total.textContent = this.#total.toLocaleString("en");
    if (this.#held) return;
    this.#view.empty.hidden = this.#newest.length > 0;
    const wanted = new Set(this.#newest.map((entry) => entry.id));
    for (const [id, row] of this.#rows) {
      if (wanted.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    const added = this.#newest.filter((entry) => !this.#rows.has(entry.id));
    const highlight = this.#fresh && added.length <= HIGHLIGHT_ROWS;
    this.#fresh = false;
    const rows = added.map((entry) => this.#row(entry, highlight));
    this.#view.list.prepend(...rows);
  }

  #row(entry, highlight) {
    const row = document.createElement("li");
    row.className = highlight ? "entry new" : "entry";
    row.dataset.testid = "entry";
    row.dataset.id = entry.id;
    const owner = document.createElement("span");
    owner.className = "entry-owner";
    row.append(idOf(entry), fieldsOf(entry), owner);
    this.#rows.set(entry.id, row);
    this.#mark(entry.id);
    return row;
  }

  #mark(id) {
    const row = this.#rows.get(id);
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

  #say(text, retry = false) {
    this.#view.emptyText.textContent = text;
    this.#view.retry.hidden = !retry;
    this.#view.empty.hidden = this.#newest.length > 0 && !retry;
  }
}
