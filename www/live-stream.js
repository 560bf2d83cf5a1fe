// The stream, live: a tail, and after a pause or a lost connection another one from where it stood.

import { inWords } from "./gap.js";
import { LiveList, ROWS } from "./live-list.js";
import { retryWhileOpen, oncePerFrame } from "./scheduling.js";

const HINT = "Entries are pushed as they come. To see a gap: pause, publish more than is kept, resume.";

/** Emits "recreated" when the stream is another one than before. */
export class LiveStream extends EventTarget {
  /** Every entry up to this id was taken; undefined until that is known. */
  position;
  list = new LiveList(() => this.#follow());
  #connection;
  #stream;
  #problems;
  #chart;
  #total = 0;
  #gaps = 0;
  #lastGap;
  /** Ends the tail; absent during a pause. */
  #stop;
  #draw = oncePerFrame(() => (this.#view.total.textContent = this.#total.toLocaleString("en")));
  #view = {
    total: document.querySelector("#total"),
    pause: document.querySelector("#pause"),
    note: document.querySelector("#live-note"),
  };

  constructor(connection, stream, chart, problems) {
    super();
    this.#connection = connection;
    this.#stream = stream;
    this.#chart = chart;
    this.#problems = problems;
    this.#view.pause.addEventListener("click", () => (this.#stop ? this.#pause() : this.#follow()));
    this.#follow();
  }

  /** Follows until it is paused, or an error says that there is no use; the page then offers to try again. */
  async #follow() {
    const { signal } = (this.#stop = new AbortController());
    this.#view.pause.textContent = "Pause";
    this.#view.pause.disabled = false;
    this.#note();
    this.list.say("Reading the stream.");
    try {
      await retryWhileOpen(
        this.#connection,
        signal,
        (client, succeeded) => this.#tail(client, signal, succeeded),
        (error) => this.#problems.report("tail", error),
      );
    } catch (error) {
      this.#problems.report("tail", error);
      this.#view.pause.disabled = true;
      this.list.say(`Reading stopped: ${error.code ?? error.name}.`, true);
    }
  }

  /** Ends the tail, at the server too, so that entries may be trimmed before the next one gets to them. */
  #pause() {
    this.#stop.abort();
    this.#stop = undefined;
    this.#view.pause.textContent = "Resume";
    this.#note();
    this.list.say("Paused.");
  }

  async #tail(client, signal, succeeded) {
    const from = this.position ?? (await this.#backlog(client, signal));
    this.list.say("Nothing here yet. Publish an entry and it appears at once.");
    for await (const { entries, gap, position } of client.tail(this.#stream, { from, signal }).batches()) {
      // The first batch only reports the position: a tail that is refused after it did not succeed.
      if (gap || entries.length > 0) succeeded();
      this.position = position;
      if (gap) this.#show(gap);
      if (entries.length > 0) this.#receive(entries);
    }
  }

  /**
   * Lists the existing entries, and returns where to tail from. A tail could begin with them, but
   * its first batches would not distinguish existing entries from new ones.
   */
  async #backlog(client, signal) {
    const latest = await client.readLatest(this.#stream, ROWS, { signal });
    this.list.add(latest.reverse(), false);
    this.position = latest.at(-1)?.id;
    return this.position ?? "beginning";
  }

  #receive(entries) {
    this.#total += entries.length;
    this.#chart.add(entries.length);
    this.list.add(entries, true);
    this.#draw();
  }

  #show(gap) {
    this.#gaps += 1;
    this.#lastGap = gap;
    this.list.addGap(gap);
    if (gap.reason === "recreated") this.dispatchEvent(new Event("recreated"));
    this.#note();
  }

  /** Shows where it is paused, else the last gap, whose row may have left the list. */
  #note() {
    const { note } = this.#view;
    if (!this.#stop) {
      const place = this.position ? ` after ${this.position}` : "";
      note.textContent = `Paused${place}. What is trimmed before you resume will show as a gap.`;
    } else if (this.#lastGap) {
      const gaps = this.#gaps === 1 ? "1 gap" : `${this.#gaps.toLocaleString("en")} gaps, the last`;
      note.textContent = `${gaps}: ${inWords(this.#lastGap)}`;
    } else {
      note.textContent = HINT;
    }
  }
}
