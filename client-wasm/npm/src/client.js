import { flatFields, idList, optionalText, tailStart, text, webSocketUrl, wholeNumber } from "./arguments.js";
import { asyncDispose, deferred } from "./deferred.js";
import { Deliveries } from "./deliveries.js";
import { entriesFrom, inGroupsOf } from "./entry.js";
import { StreamgateError } from "./errors.js";
import { Tail } from "./subscription.js";

/** Longest timer that every runtime keeps: beyond it they fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Longest attempt to connect, unless the options say otherwise. */
const CONNECT_TIMEOUT_MS = 10_000;

/** What a page is told when it, or the network, comes back. A runtime without a page tells nothing. */
const RETURNS = ["online", "pageshow", "resume", "visibilitychange"];

/** Tells of a change of the connection's state. */
export class StateEvent extends Event {
  constructor(state, code, reason) {
    super("state");
    this.state = state;
    this.code = code;
    this.reason = reason;
  }
}

/**
 * What one runtime's entry needs: how to get the module there. The module is loaded by the first
 * `connect`, not by the import.
 *
 * @param {() => Promise<{ Connection: any }>} load
 */
export function bind(load) {
  return async function connect(url, options = {}) {
    const { signal } = options;
    signal?.throwIfAborted();
    const address = webSocketUrl(url);
    const { Connection } = await load();
    signal?.throwIfAborted();
    const client = new Client(Connection, address, options);
    const abort = () => void client.close();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      await client[opened]();
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
    return client;
  };
}

const opened = Symbol("opened");

/**
 * A streamgate server somewhere else. The promises and the subscriptions are held here, by the id
 * of their call; the protocol is in the module.
 */
export class Client extends EventTarget {
  #connection;
  #calls = new Map();
  #state = "connecting";
  #events = [];
  #pumpDue = false;
  #pumping = false;
  #timer;
  #timerDue = Infinity;
  #open = deferred();
  #closed = deferred();

  constructor(Connection, url, options) {
    super();
    const wake = () => this.#wake();
    const told = (...what) => this.#told(...what);
    const timeout = wholeNumber(options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS, "connectTimeoutMs");
    try {
      const { WebSocket } = options;
      const exactlyOnce = options.exactlyOnce ?? true;
      this.#connection = new Connection(url, WebSocket, timeout, exactlyOnce, wake, told, now());
    } catch (error) {
      throw Array.isArray(error) ? new StreamgateError(...error) : error;
    }
    this.#listen("addEventListener");
    this.#wake();
  }

  get state() {
    return this.#state;
  }

  add(stream, fields, { maxlen, signal } = {}) {
    return this.#call(signal, (connection) =>
      connection.add(text(stream, "stream"), flatFields(fields), wholeNumber(maxlen, "maxlen"), now()),
    );
  }

  readLatest(stream, count, { signal } = {}) {
    return this.#call(signal, (connection) =>
      connection.read_latest(text(stream, "stream"), wholeNumber(count, "count"), now()),
    );
  }

  read(stream, lastId, { count, blockMs, signal } = {}) {
    return this.#call(signal, (connection) =>
      connection.read(
        text(stream, "stream"),
        text(lastId, "lastId"),
        wholeNumber(count, "count"),
        wholeNumber(blockMs, "blockMs"),
        now(),
      ),
    );
  }

  createGroup(stream, group, id, { signal } = {}) {
    return this.#call(signal, (connection) =>
      connection.create_group(text(stream, "stream"), text(group, "group"), text(id, "id"), now()),
    );
  }

  readGroup(stream, group, consumer, { count, blockMs, signal } = {}) {
    return this.#call(signal, (connection) =>
      connection.read_group(
        text(stream, "stream"),
        text(group, "group"),
        text(consumer, "consumer"),
        wholeNumber(count, "count"),
        wholeNumber(blockMs, "blockMs"),
        now(),
      ),
    );
  }

  ack(stream, group, ids, { signal } = {}) {
    return this.#call(signal, (connection) =>
      connection.ack(text(stream, "stream"), text(group, "group"), idList(ids), now()),
    );
  }

  async pending(stream, group, { signal } = {}) {
    const [[count, smallest, greatest, ...consumers]] = await this.#groups(0, { stream, group }, signal);
    return { count, smallest, greatest, consumers: inGroupsOf(2, consumers) };
  }

  async pendingEntries(stream, group, { start = "-", end = "+", count, consumer, minIdleMs, signal } = {}) {
    const names = { stream, group, start, end, ...(consumer != null && { consumer }) };
    const [flat] = await this.#groups(1, names, signal, count, minIdleMs);
    return inGroupsOf(4, flat).map(([id, consumer, idleMs, deliveries]) => ({ id, consumer, idleMs, deliveries }));
  }

  async claim(stream, group, consumer, minIdleMs, { start = "0-0", count, signal } = {}) {
    const names = { stream, group, consumer, start };
    const [entries, cursor, deleted] = await this.#groups(2, names, signal, count, minIdleMs ?? NaN);
    return { cursor, entries: entriesFrom(entries), deleted };
  }

  async removeConsumer(stream, group, consumer, heir, { signal } = {}) {
    const [handedOver] = await this.#groups(3, { stream, group, consumer, heir }, signal);
    return handedOver;
  }

  tail(stream, { from = "now", onGap, signal } = {}) {
    const start = tailStart(from);
    const subscribe = this.#subscribe((connection) => connection.tail(text(stream, "stream"), ...start, now()));
    const isId = typeof from === "string" && from !== "now" && from !== "beginning";
    return new Tail(subscribe, { from: isId ? from : undefined, onGap, signal });
  }

  consume(stream, group, consumer, { batch, claimAfterMs, maxDeliveries, deadLetter, signal } = {}) {
    const subscribe = this.#subscribe((connection) =>
      connection.consume(
        text(stream, "stream"),
        text(group, "group"),
        text(consumer, "consumer"),
        wholeNumber(batch, "batch"),
        wholeNumber(claimAfterMs, "claimAfterMs"),
        wholeNumber(maxDeliveries, "maxDeliveries"),
        optionalText(deadLetter, "deadLetter"),
        now(),
      ),
    );
    return new Deliveries(subscribe, (ids, options) => this.ack(stream, group, ids, options), signal);
  }

  close() {
    this.#connection?.close(now());
    this.#wake();
    return this.#closed.promise;
  }

  [asyncDispose]() {
    return this.close();
  }

  [opened]() {
    return this.#open.promise;
  }

  /** Makes a call and a promise for its answer. A mistake in the arguments rejects it. */
  async #call(signal, start) {
    signal?.throwIfAborted();
    if (!this.#connection) throw closed();
    const id = start(this.#connection);
    this.#wake();
    if (!signal) return new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }));

    const answer = deferred();
    this.#calls.set(id, answer);
    const abort = () => {
      this.#cancel(id);
      answer.reject(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
    try {
      return await answer.promise;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** A call about pending entries, of a kind that the module names. */
  #groups(kind, names, signal, count, minIdleMs) {
    return this.#call(signal, (connection) =>
      connection.groups(
        kind,
        Object.entries(names).map(([what, name]) => text(name, what)),
        wholeNumber(count, "count"),
        wholeNumber(minIdleMs, "minIdleMs"),
        now(),
      ),
    );
  }

  /** What a subscription needs to begin, and to go on. */
  #subscribe(start) {
    return (sink) => {
      if (!this.#connection) return void sink.reject(closed());
      const id = start(this.#connection);
      this.#calls.set(id, sink);
      this.#wake();
      return {
        taken: (entries, bytes) => {
          this.#connection?.consumed(id, entries, bytes);
          this.#wake();
        },
        cancel: () => this.#cancel(id),
      };
    };
  }

  #cancel(id) {
    this.#calls.delete(id);
    this.#connection?.cancel(id);
    this.#wake();
  }

  /** Notes that a pump is due: one for all that happens in this turn of the event loop. */
  #wake() {
    if (this.#pumpDue || !this.#connection) return;
    this.#pumpDue = true;
    queueMicrotask(() => this.#pump());
  }

  #pump() {
    this.#pumpDue = false;
    // A listener of an event below may let microtasks run; the one that pumps goes on.
    if (this.#pumping || !this.#connection) return;
    this.#pumping = true;
    this.#sleep(this.#connection.pump(now()));
    this.#pumping = false;
    const events = this.#events;
    this.#events = [];
    for (const event of events) this.#entered(event);
  }

  /** What the module tells during a pump. It must not be called from here: see `module.rs`. */
  #told(kind, id, a, b, c) {
    if (kind === 4) {
      this.#events.push(new StateEvent(a, id || c, b));
      return;
    }
    const call = this.#calls.get(id);
    if (!call) return;
    if (kind >= 5 && kind < 8) return call.push(kind, a, b, c);
    this.#calls.delete(id);
    if (kind === 0) {
      call.reject(new StreamgateError(a, b, c));
    } else if (kind === 1) {
      call.resolve(a);
    } else if (kind === 2) {
      const entries = entriesFrom(a);
      if (b !== undefined) entries.lastId = b;
      call.resolve(entries);
    } else if (kind === 8) {
      call.resolve([a, b, c]);
    } else {
      call.resolve();
    }
  }

  #entered(event) {
    this.#state = event.state;
    if (event.state === "open") this.#open.resolve();
    if (event.state === "closed") {
      clearTimeout(this.#timer);
      this.#listen("removeEventListener");
      this.#connection.free();
      this.#connection = undefined;
      const why = `${event.reason || "the connection ended"} (${event.code})`;
      // Codes of 4400 to 4499 but two blame one of the sides: another attempt would end the same way.
      const final = event.code >= 4400 && event.code < 4500 && event.code !== 4408 && event.code !== 4429;
      this.#open.reject(
        final ? new StreamgateError("PROTOCOL", why, "never") : new StreamgateError("DISCONNECTED", why, "later"),
      );
      this.#closed.resolve();
    }
    this.dispatchEvent(event);
  }

  /** `resume` and `visibilitychange` are told to the document, and bubble no further. */
  #listen(change) {
    for (const target of [globalThis, globalThis.document]) {
      for (const type of RETURNS) target?.[change]?.(type, this.#hurry);
    }
  }

  #hurry = () => {
    if (globalThis.document?.visibilityState === "hidden") return;
    this.#connection?.hurry(now());
    this.#wake();
  };

  /** Sees to it that the next pump comes in so many milliseconds at the latest. */
  #sleep(ms) {
    const due = ms < 0 ? Infinity : now() + ms;
    // A timer that fires too early costs one needless pump; a new one for each pump costs more.
    if (due >= this.#timerDue) return;
    clearTimeout(this.#timer);
    this.#timerDue = due;
    this.#timer = setTimeout(
      () => {
        this.#timerDue = Infinity;
        this.#wake();
      },
      // One more, since a timer may fire up to a millisecond early by this clock.
      Math.min(ms + 1, LONGEST_TIMER_MS),
    );
  }
}

function now() {
  return performance.now();
}

function closed() {
  return new StreamgateError("CLOSED", "the client is closed", "never");
}
