// A consumer group: consumers that share the stream's entries.

import { Consumer } from "./consumer.js";
import { laterId } from "./entry.js";
import { oncePerFrame } from "./scheduling.js";

/** As many as there are tones to tell them apart by. */
const MOST_CONSUMERS = 6;
const FIRST_CONSUMERS = 2;

export class Group {
  name;
  stream;
  connection;
  #tab;
  #live;
  #problems;
  #lastId;
  #consumers = new Set();
  #serial = 0;
  #count = { delivered: 0, acked: 0, left: 0 };
  #interrupted = false;
  #draw = oncePerFrame(() => this.#render());
  #view = {
    form: document.querySelector("#group-form"),
    name: document.querySelector("#group"),
    start: document.querySelector("#group-start"),
    add: document.querySelector("#consumer-add"),
    list: document.querySelector("#consumers"),
    empty: document.querySelector("#group-empty"),
    note: document.querySelector("#group-note"),
    delivered: document.querySelector("#group-delivered"),
    acked: document.querySelector("#group-acked"),
    pending: document.querySelector("#group-pending"),
  };

  constructor(connection, stream, tab, live, problems) {
    this.connection = connection;
    this.stream = stream;
    this.#tab = tab;
    this.#live = live;
    this.#problems = problems;
    // Every entry of the new stream is after it, whatever was seen of the previous one.
    live.addEventListener("recreated", () => (this.#lastId = live.position));
    this.#view.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start();
    });
    this.#view.add.addEventListener("click", () => this.#add());
  }

  /**
   * Creates the group after the last entry seen, so that a group lost with its server goes on where
   * it was; one that is there already is joined.
   */
  async create(client) {
    try {
      await client.createGroup(this.stream, this.name, this.#lastId);
    } catch (error) {
      if (error.code !== "BUSYGROUP") throw error;
    }
  }

  delivered(entries, consumer) {
    this.#count.delivered += entries.length;
    for (const { id } of entries) {
      this.#live.list.delivered(id, consumer);
      if (this.#lastId !== "$") this.#lastId = laterId(this.#lastId, id);
    }
    this.#draw();
  }

  acknowledged(ids) {
    this.#count.acked += ids.length;
    for (const id of ids) this.#live.list.acknowledged(id);
    this.#draw();
  }

  failed(call, error) {
    this.#problems.report(call, error);
  }

  /** A consumer was ended while the group gave it entries. */
  interrupted() {
    this.#interrupted = true;
    this.#draw();
  }

  /** Removes a stopped consumer; entries that it did not acknowledge stay pending in the group. */
  removed(consumer, pending) {
    this.#consumers.delete(consumer);
    this.#count.left += pending;
    this.#draw();
    this.#arrange();
    const next = this.#view.list.querySelector(".consumer-remove:not(:disabled)");
    (next ?? this.#view.start).focus();
  }

  async #start() {
    const client = this.connection.client;
    if (!client) {
      this.#view.note.textContent = `The group was not started: ${this.connection.unavailableReason}.`;
      return;
    }
    this.name = this.#view.name.value;
    this.#lastId = this.#live.position ?? "$";
    this.#view.start.disabled = true;
    try {
      await this.create(client);
      this.#view.note.textContent = "";
      for (let n = 0; n < FIRST_CONSUMERS; n += 1) this.#add();
      this.#view.add.focus();
    } catch (error) {
      this.failed("createGroup", error);
    } finally {
      this.#view.start.disabled = false;
    }
  }

  #add() {
    this.#serial += 1;
    const tone = 1 + ((this.#serial - 1) % MOST_CONSUMERS);
    const consumer = new Consumer(this, `${this.#tab}-${this.#serial}`, tone);
    this.#consumers.add(consumer);
    this.#view.list.append(consumer.element);
    this.#arrange();
    consumer.run();
  }

  #arrange() {
    const some = this.#consumers.size > 0;
    this.#view.start.hidden = some;
    this.#view.add.hidden = !some;
    this.#view.add.disabled = this.#consumers.size >= MOST_CONSUMERS;
    this.#view.name.disabled = some;
    this.#view.empty.hidden = some;
  }

  #render() {
    const { delivered, acked, left } = this.#count;
    this.#view.delivered.textContent = delivered.toLocaleString("en");
    this.#view.acked.textContent = acked.toLocaleString("en");
    this.#view.pending.textContent = (delivered - acked).toLocaleString("en");
    const notes = [];
    if (left > 0) {
      const entries = left === 1 ? "1 entry stays" : `${left.toLocaleString("en")} entries stay`;
      notes.push(`${entries} pending under consumers you removed.`);
    }
    if (this.#interrupted) notes.push("What was on its way to a consumer as you stopped it stays pending, unseen here.");
    if (notes.length > 0) this.#view.note.textContent = notes.join(" ");
  }
}
