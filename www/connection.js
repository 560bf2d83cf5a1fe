// The one connection of the page: its state, shown, and who waits for it.

import { connect } from "./streamgate/src/platform/browser.js";

const LABELS = {
  connecting: "Connecting",
  open: "Connected",
  degraded: "Without Redis",
  reconnecting: "Reconnecting",
  closed: "Closed",
};

/** Emits "state" whenever `state` changes. */
export class Connection extends EventTarget {
  state = "connecting";
  #url;
  #client;
  #problems;
  #view = {
    road: document.querySelector("#road"),
    label: document.querySelector("#state"),
    detail: document.querySelector("#state-detail"),
    reconnect: document.querySelector("#reconnect"),
  };

  constructor(url, problems) {
    super();
    this.#url = url;
    this.#problems = problems;
    this.#view.reconnect.addEventListener("click", () => this.open());
  }

  /** Connects; a failure leaves the state "closed" and offers to try again. */
  async open() {
    this.#enter("connecting");
    try {
      const client = await connect(this.#url);
      this.#client = client;
      client.addEventListener("state", (event) => {
        if (client === this.#client) this.#enter(event.state, event);
      });
      this.#enter(client.state);
    } catch (error) {
      this.#problems.report("connect", error);
      this.#enter("closed");
    }
  }

  /** Why there is no client now, in words. */
  get trouble() {
    return this.state === "degraded" ? "Redis is away" : "not connected";
  }

  /** The client once the connection is open, with Redis behind it; undefined when `signal` aborts first. */
  async ready(signal) {
    while (this.state !== "open" && !signal?.aborted) await this.change(signal);
    return signal?.aborted ? undefined : this.#client;
  }

  /** The client if the connection is open now, with Redis behind it. */
  get client() {
    return this.state === "open" ? this.#client : undefined;
  }

  /** Resolves at the next change of state, after `ms` if given, or when `signal` aborts. */
  change(signal, ms) {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        this.removeEventListener("state", done);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = ms === undefined ? undefined : setTimeout(done, ms);
      this.addEventListener("state", done);
      signal?.addEventListener("abort", done);
    });
  }

  #enter(state, { code, reason } = {}) {
    this.state = state;
    const { road, label, detail, reconnect } = this.#view;
    road.dataset.state = state;
    label.textContent = LABELS[state];
    detail.textContent = state === "open" || !code ? "" : reason ? `${code}: ${reason}` : `code ${code}`;
    reconnect.hidden = state !== "closed";
    this.dispatchEvent(new Event("state"));
  }
}
