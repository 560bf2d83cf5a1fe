// One consumer of a group: receives entries, shows those that are pending, acknowledges them.

import { fieldsOf, idOf } from "./entry.js";
import { retryWhileOpen, oncePerFrame } from "./scheduling.js";

/** With this many pending entries a consumer takes no further batch, and the server waits. */
const MOST_PENDING = 100;
/** The maximum batch; small, so that consumers share a busy stream evenly. */
const BATCH = 25;
const RETRY_ACK_MS = 1_000;

export class Consumer {
  name;
  tone;
  element = document.querySelector("#consumer-template").content.cloneNode(true).firstElementChild;
  #group;
  #pending = new Map();
  #paused = false;
  /** Aborts the current `consume` loop; absent while there is none. */
  #loop;
  #failure;
  #stop = new AbortController();
  #changed = new EventTarget();
  #ackTimer;
  #draw = oncePerFrame(() => this.#render());
  #view = {
    state: this.element.querySelector(".consumer-state"),
    list: this.element.querySelector(".pending"),
    empty: this.element.querySelector(".pending-empty"),
    pause: this.element.querySelector(".consumer-pause"),
    ackAll: this.element.querySelector(".consumer-ack-all"),
    count: this.element.querySelector(".consumer-count"),
    remove: this.element.querySelector(".consumer-remove"),
    auto: this.element.querySelector(".consumer-auto"),
    delay: this.element.querySelector(".consumer-delay"),
  };

  constructor(group, name, tone) {
    this.#group = group;
    this.name = name;
    this.tone = tone;
    this.element.dataset.tone = tone;
    this.element.dataset.consumer = name;
    this.element.setAttribute("aria-label", `Consumer ${name}`);
    this.element.querySelector(".consumer-name").textContent = name;
    this.#view.list.setAttribute("aria-label", `Pending entries of ${name}`);
    this.#view.delay.setAttribute("aria-label", `Milliseconds of work of ${name}`);
    this.#view.pause.addEventListener("click", () => this.#pause(!this.#paused));
    this.#view.ackAll.addEventListener("click", () => this.#acknowledge([...this.#pending.keys()]));
    this.#view.remove.addEventListener("click", () => this.#end());
    this.#view.auto.addEventListener("change", () => this.#scheduleAck());
    this.#view.delay.addEventListener("change", () => this.#scheduleAck());
    this.#view.list.addEventListener("click", (event) => {
      const row = event.target.closest("button")?.closest("li");
      if (row) this.#acknowledge([row.dataset.id]);
    });
    group.connection.addEventListener("state", () => this.#draw(), { signal: this.#stop.signal });
  }

  /** Receives entries until it is removed, or until an error that a retry cannot mend. */
  async run() {
    this.#draw();
    try {
      await retryWhileOpen(
        this.#group.connection,
        this.#stop.signal,
        (_, succeeded) => this.#take(succeeded),
        (error) => this.#group.failed("consume", error),
      );
    } catch (error) {
      this.#failure = error.code ?? error.name;
      this.#group.failed("consume", error);
      this.#draw();
      await this.#whenChanged(() => this.#stop.signal.aborted);
    }
    clearTimeout(this.#ackTimer);
    this.element.remove();
    this.#group.removed(this, this.#pending.size);
  }

  async #take(succeeded) {
    await this.#whenChanged(() => this.#stop.signal.aborted || !this.#paused);
    // Only now: the page may have reconnected during a pause.
    const client = this.#group.connection.client;
    if (this.#stop.signal.aborted || !client) return;
    const { stream, name: group } = this.#group;
    const { signal } = (this.#loop = new AbortController());
    const deliveries = client.consume(stream, group, this.name, { batch: BATCH, signal });
    try {
      for await (const { entries } of deliveries.batches()) {
        succeeded();
        this.#addPending(entries);
        await this.#whenChanged(() => this.#isEnding() || this.#pending.size < MOST_PENDING);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error.code !== "NOGROUP") throw error;
      await this.#group.create(client);
    } finally {
      this.#loop = undefined;
      this.#draw();
    }
  }

  #addPending(entries) {
    const at = performance.now();
    for (const entry of entries) this.#pending.set(entry.id, { entry, at, acking: false });
    this.#group.delivered(entries, this);
    this.#scheduleAck();
    this.#draw();
  }

  /** Ends the current loop in the next task, after it took what has arrived. */
  #endLoop() {
    const loop = this.#loop;
    if (!loop) return;
    setTimeout(() => loop.abort());
    this.#group.interrupted();
  }

  #isEnding() {
    return this.#paused || this.#stop.signal.aborted;
  }

  async #acknowledge(ids) {
    const held = ids.filter((id) => this.#pending.get(id)?.acking === false);
    const client = this.#group.connection.client;
    if (held.length === 0 || !client) return;
    for (const id of held) this.#pending.get(id).acking = true;
    this.#draw();
    let failed = false;
    try {
      await client.ack(this.#group.stream, this.#group.name, held);
      for (const id of held) this.#pending.delete(id);
      this.#group.acknowledged(held);
    } catch (error) {
      // Acknowledging twice does no harm, so the entries are kept for another attempt.
      failed = true;
      for (const id of held) this.#pending.get(id).acking = false;
      this.#group.failed("ack", error);
    }
    this.#scheduleAck(failed ? RETRY_ACK_MS : 0);
    this.#notify();
  }

  /** Sets the timer for the entry whose work is done first, not before `least` ms. */
  #scheduleAck(least = 0) {
    clearTimeout(this.#ackTimer);
    if (!this.#view.auto.checked) return;
    const work = Math.max(0, this.#view.delay.valueAsNumber || 0);
    const next = [...this.#pending.values()].find((held) => !held.acking);
    if (!next) return;
    const wait = Math.max(least, next.at + work - performance.now());
    this.#ackTimer = setTimeout(async () => {
      if (!(await this.#group.connection.ready(this.#stop.signal))) return;
      const now = performance.now();
      const done = [...this.#pending.values()].filter((held) => !held.acking && held.at + work <= now);
      if (done.length > 0) this.#acknowledge(done.map((held) => held.entry.id));
      else this.#scheduleAck(1);
    }, wait);
  }

  #pause(paused) {
    this.#paused = paused;
    this.#view.pause.textContent = paused ? "Resume" : "Pause";
    if (paused) this.#endLoop();
    this.#notify();
  }

  #end() {
    for (const button of this.element.querySelectorAll("button")) button.disabled = true;
    this.#stop.abort();
    this.#endLoop();
    this.#notify();
  }

  #notify() {
    this.#changed.dispatchEvent(new Event("change"));
    this.#draw();
  }

  async #whenChanged(condition) {
    while (!condition()) {
      await new Promise((resolve) => this.#changed.addEventListener("change", resolve, { once: true }));
    }
  }

  #render() {
    const { list, empty, ackAll, count } = this.#view;
    const focused = list.contains(document.activeElement) ? document.activeElement.closest("li") : undefined;
    const rows = new Map([...list.children].map((row) => [row.dataset.id, row]));
    let neighbour;
    for (const [id, row] of rows) {
      const held = this.#pending.get(id);
      if (held) row.lastElementChild.disabled = held.acking && row !== focused;
      if (held) continue;
      if (row === focused) neighbour = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
    }
    for (const [id, { entry }] of this.#pending) if (!rows.has(id)) list.append(this.#row(entry));
    if (focused && !focused.isConnected) (neighbour?.querySelector("button") ?? list).focus();
    empty.hidden = this.#pending.size > 0;
    ackAll.disabled = this.#pending.size === 0 || this.#stop.signal.aborted;
    count.textContent = this.#pending.size;
    this.#view.state.textContent = this.#state();
  }

  #row(entry) {
    const row = document.createElement("li");
    row.dataset.testid = "pending-entry";
    row.dataset.id = entry.id;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = "Ack";
    button.dataset.testid = "ack";
    button.setAttribute("aria-label", `Acknowledge ${entry.id}`);
    row.append(idOf(entry), fieldsOf(entry), button);
    return row;
  }

  #state() {
    if (this.#stop.signal.aborted) return "leaving";
    if (this.#failure) return `stopped: ${this.#failure}`;
    if (this.#paused) return this.#loop ? "pausing" : "paused";
    const { state, unavailableReason } = this.#group.connection;
    if (state !== "open") return unavailableReason;
    return this.#pending.size >= MOST_PENDING ? `full at ${MOST_PENDING}: acknowledge to continue` : "receiving entries";
  }
}
