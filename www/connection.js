// The page's one connection, and its state on the page.

import { connect } from "./streamgate/dist/platform/browser.js";

const LABELS = {
  connecting: "Connecting",
  open: "Connected",
  degraded: "Redis unavailable",
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

  /** Connects. After a failure the state is "closed", and a button offers to reconnect. */
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

  /** Why there is no client now, for people. */
  get unavailableReason() {
    return this.state === "degraded" ? "Redis is unavailable" : "not connected";
  }

  /** Resolves with the client once the state is "open"; with undefined if `signal` aborts first. */
  async ready(signal) {
    while (this.state !== "open" && !signal?.aborted) await this.change(signal);
    return signal?.aborted ? undefined : this.#client;
  }

  /** The client if the state is "open" now. */
  get client() {
    return this.state === "open" ? this.#client : undefined;
  }

  /** Resolves at the next change of state, after `ms` if present, or when `signal` aborts. */
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
