// Publishing: an entry by hand, and entries at a rate.

import { oncePerFrame } from "./scheduling.js";

/** Rows the form may have. */
const MOST_FIELDS = 20;
/** The adds at a rate that may be in flight at once; further ones are skipped. */
const MOST_IN_FLIGHT = 256;
const TICK_MS = 20;
/** A tick that comes late catches up on at most this much. */
const CATCH_UP_MS = 1_000;
const HIGHEST_RATE = 1_000;

export function publishByHand(connection, stream, tab, problems) {
  const form = document.querySelector("#publish-form");
  const published = document.querySelector("#published");
  const fields = new FieldRows(document.querySelector("#fields"), document.querySelector("#add-field"));
  fields.append("event", "hello");
  fields.append("from", tab);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const client = connection.client;
    if (!client) {
      published.textContent = `Nothing was published: ${connection.unavailableReason}.`;
      return;
    }
    try {
      const id = await client.add(stream, fields.pairs(), { maxlen: maxlen() });
      published.textContent = `Added ${id}.`;
    } catch (error) {
      published.textContent = error.code === "UNKNOWN_OUTCOME" ? "It may or may not have been added." : "Not added.";
      problems.report("add", error);
    }
  });
}

export function publishAtRate(connection, stream, tab, problems) {
  const slider = document.querySelector("#rate");
  const number = document.querySelector("#rate-number");
  const stop = document.querySelector("#rate-stop");
  const figures = {
    sent: document.querySelector("#rate-sent"),
    inFlight: document.querySelector("#rate-in-flight"),
    skipped: document.querySelector("#rate-skipped"),
  };
  const count = { sent: 0, inFlight: 0, skipped: 0 };
  const draw = oncePerFrame(() => {
    for (const [name, cell] of Object.entries(figures)) cell.textContent = count[name].toLocaleString("en");
  });
  let rate = 0;
  let due = 0;
  let last = 0;
  let timer;
  let serial = 0;

  const publish = async (client) => {
    serial += 1;
    count.inFlight += 1;
    try {
      const value = (20 + 5 * Math.sin(serial / 40) + Math.random()).toFixed(2);
      await client.add(stream, [["n", String(serial)], ["value", value], ["from", tab]], { maxlen: maxlen() });
      count.sent += 1;
    } catch (error) {
      problems.report("add", error);
    } finally {
      count.inFlight -= 1;
      draw();
    }
  };

  const tick = () => {
    const now = performance.now();
    due += (Math.min(now - last, CATCH_UP_MS) * rate) / 1_000;
    last = now;
    const client = connection.client;
    for (; due >= 1; due -= 1) {
      if (client && count.inFlight < MOST_IN_FLIGHT) publish(client);
      else count.skipped += 1;
    }
    draw();
  };

  const run = (wanted, from) => {
    rate = Math.min(HIGHEST_RATE, Math.max(0, Math.round(wanted) || 0));
    if (from !== slider) slider.value = rate;
    if (from !== number) number.value = rate;
    stop.disabled = rate === 0;
    if (rate > 0 && timer === undefined) {
      due = 0;
      last = performance.now();
      timer = setInterval(tick, TICK_MS);
    } else if (rate === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };

  slider.addEventListener("input", () => run(slider.valueAsNumber, slider));
  number.addEventListener("input", () => run(number.valueAsNumber, number));
  number.addEventListener("change", () => run(number.valueAsNumber));
  stop.addEventListener("click", () => {
    run(0);
    slider.focus();
  });
}

/** The rows of the form, kept in the order they are sent. */
class FieldRows {
  #holder;
  #more;

  constructor(holder, more) {
    this.#holder = holder;
    this.#more = more;
    more.addEventListener("click", () => this.append().querySelector(".field-name").focus());
  }

  append(name = "", value = "") {
    const row = document.querySelector("#field-template").content.cloneNode(true).firstElementChild;
    row.querySelector(".field-name").value = name;
    row.querySelector(".field-value").value = value;
    row.querySelector("button").addEventListener("click", () => this.#remove(row));
    this.#holder.append(row);
    this.#number();
    return row;
  }

  pairs() {
    return [...this.#holder.children].map((row) => [
      row.querySelector(".field-name").value,
      row.querySelector(".field-value").value,
    ]);
  }

  #remove(row) {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    this.#number();
    next.querySelector(".field-name").focus();
  }

  #number() {
    const rows = [...this.#holder.children];
    rows.forEach((row, index) => {
      row.setAttribute("aria-label", `Field ${index + 1}`);
      row.querySelector(".field-name").setAttribute("aria-label", `Name of field ${index + 1}`);
      row.querySelector(".field-value").setAttribute("aria-label", `Value of field ${index + 1}`);
      const remove = row.querySelector("button");
      remove.setAttribute("aria-label", `Remove field ${index + 1}`);
      remove.disabled = rows.length === 1;
    });
    this.#more.disabled = rows.length >= MOST_FIELDS;
  }
}

function maxlen() {
  const wanted = document.querySelector("#maxlen").valueAsNumber;
  return Number.isNaN(wanted) ? undefined : Math.max(0, Math.floor(wanted));
}
