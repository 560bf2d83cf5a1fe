// `Client`: the promises of its calls, by id, and the events that settle them.

import { flatFields, idList, name, optional, tailStart, text, tokenFor, webSocketUrl, wholeNumber } from "./arguments.js";
import { asyncDispose, deferred } from "./deferred.js";
import { Deliveries } from "./deliveries.js";
import { entriesFrom } from "./entry.js";
import { StreamgateError } from "./errors.js";
import { ENTRIES, FAILED, PENDING, PUSHED, SKIPPED, STATE, TOKEN, VALUE } from "./events.js";
import { CLAIM, CONSUMERS, LIST, REMOVE_CONSUMER, SUMMARY } from "./pending.js";
import { claimedFrom, consumersFrom, listFrom, summaryFrom } from "./pending-results.js";
import { Tail } from "./subscription.js";

/** The longest timer that every runtime supports; longer ones fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** How long an attempt to connect may take, unless the options say otherwise. */
const CONNECT_TIMEOUT_MS = 10_000;

/** The entries that a read returns at most, unless the options say otherwise. */
const READ_COUNT = 1_000;

/** The same of a group read, whose entries are then pending. */
const READ_GROUP_COUNT = 100;

/** The close code of a connection that ended without one. */
const ABNORMAL = 1006;

/** The events that a page receives when it, or the network, comes back. */
const RETURN_EVENTS = ["online", "pageshow", "resume", "visibilitychange"];

/** The arguments of requests about pending entries that are ids. */
const IDS = new Set(["start", "end"]);

/** The answers to a request for a token, as in `npm.rs`. */
const HAS_TOKEN = 0;
const LATER = 1;
const SIGNED_OUT = 2;

/** Reports a change of the connection's state. */
export class StateEvent extends Event {
  constructor(state, code, reason) {
    super("state");
    this.state = state;
    this.code = code;
    this.reason = reason;
  }
}

/**
 * Makes a platform's `connect`. The first call loads the module, not the import.
 *
 * @param {() => Promise<{ Connection: any }>} load
 */
export function makeConnect(load) {
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
      await client[ready]();
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
    return client;
  };
}

const ready = Symbol("ready");

/**
 * A client of a streamgate server. It holds the promises and the subscriptions by their ids; the
 * protocol is in the module.
 */
export class Client extends EventTarget {
  #connection;
  /** The last socket that the module opened. */
  #socket;
  #requests = new Map();
  #token;
  /** The last call of `#token`. The answers of those before count for nothing. */
  #tokenCall;
  /** Whether the module asked for a token since the last pump, and whether it must be a new one. */
  #tokenRequest;
  #state = "connecting";
  #stateEvents = [];
  #pumpDue = false;
  #pumping = false;
  #timer;
  #timerDue = Infinity;
  #open = deferred();
  #closed = deferred();

  constructor(Connection, url, options) {
    super();
    const wake = () => this.#wake();
    const onEvent = (...event) => this.#handleEvent(...event);
    const timeout = wholeNumber(options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS, "connectTimeoutMs");
    this.#token = tokenFor(url, options.token);
    try {
      const open = this.#opener(options.WebSocket);
      const exactlyOnce = options.exactlyOnce ?? true;
      this.#connection = new Connection(url, open, timeout, exactlyOnce, this.#token, wake, onEvent, now());
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
    return this.#request(signal, (connection) =>
      connection.add(name(stream, "stream"), flatFields(fields), wholeNumber(maxlen, "maxlen"), now()),
    );
  }

  readLatest(stream, count, { signal } = {}) {
    return this.#request(signal, (connection) =>
      connection.read_latest(name(stream, "stream"), wholeNumber(count ?? NaN, "count"), now()),
    );
  }

  read(stream, lastId, { count, blockMs, signal } = {}) {
    return this.#request(signal, (connection) =>
      connection.read(
        name(stream, "stream"),
        text(lastId, "lastId"),
        wholeNumber(count ?? READ_COUNT, "count"),
        wholeNumber(blockMs, "blockMs"),
        now(),
      ),
    );
  }

  createGroup(stream, group, id, { signal } = {}) {
    return this.#request(signal, (connection) =>
      connection.create_group(name(stream, "stream"), name(group, "group"), text(id, "id"), now()),
    );
  }

  readGroup(stream, group, consumer, { count, blockMs, signal } = {}) {
    return this.#request(signal, (connection) =>
      connection.read_group(
        name(stream, "stream"),
        name(group, "group"),
        name(consumer, "consumer"),
        wholeNumber(count ?? READ_GROUP_COUNT, "count"),
        wholeNumber(blockMs, "blockMs"),
        now(),
      ),
    );
  }

  ack(stream, group, ids, { signal } = {}) {
    return this.#request(signal, (connection) =>
      connection.ack(name(stream, "stream"), name(group, "group"), idList(ids), now()),
    );
  }

  async pending(stream, group, { signal } = {}) {
    return summaryFrom(await this.#pending(SUMMARY, { stream, group }, signal));
  }

  async pendingEntries(stream, group, { start = "-", end = "+", count, consumer, minIdleMs, signal } = {}) {
    const names = { stream, group, start, end, ...(consumer != null && { consumer }) };
    return listFrom(await this.#pending(LIST, names, signal, count, minIdleMs));
  }

  async claim(stream, group, consumer, minIdleMs, { start = "0-0", count, signal } = {}) {
    const names = { stream, group, consumer, start };
    return claimedFrom(await this.#pending(CLAIM, names, signal, count, minIdleMs ?? NaN));
  }

  async removeConsumer(stream, group, consumer, newOwner, { signal } = {}) {
    const names = { stream, group, consumer, newOwner };
    return this.#pending(REMOVE_CONSUMER, names, signal);
  }

  async consumers(stream, group, { signal } = {}) {
    return consumersFrom(await this.#pending(CONSUMERS, { stream, group }, signal));
  }

  tail(stream, { from = "now", onGap, onSkipped, signal } = {}) {
    const start = tailStart(from);
    const subscribe = this.#subscribe((connection) => connection.tail(name(stream, "stream"), ...start, now()));
    const isId = typeof from === "string" && from !== "now" && from !== "beginning";
    return new Tail(subscribe, { from: isId ? from : undefined, onGap, onSkipped, signal });
  }

  consume(
    stream,
    group,
    consumer,
    { batch, claimAfterMs, maxDeliveries, deadLetter, createFrom, onSkipped, signal } = {},
  ) {
    const subscribe = this.#subscribe((connection) =>
      connection.consume(
        name(stream, "stream"),
        name(group, "group"),
        name(consumer, "consumer"),
        wholeNumber(batch, "batch"),
        wholeNumber(claimAfterMs, "claimAfterMs"),
        wholeNumber(maxDeliveries, "maxDeliveries"),
        optional(name, deadLetter, "deadLetter"),
        optional(text, createFrom, "createFrom"),
        now(),
      ),
    );
    const ack = (ids, options) => this.ack(stream, group, ids, options);
    return new Deliveries(subscribe, ack, { onSkipped, signal });
  }

  close() {
    this.#call((connection) => connection.close(now()));
    this.#wake();
    return this.#closed.promise;
  }

  [asyncDispose]() {
    return this.close();
  }

  [ready]() {
    return this.#open.promise;
  }

  /** Makes a request, and a promise for its reply. An invalid argument rejects the promise. */
  async #request(signal, start) {
    signal?.throwIfAborted();
    if (!this.#connection) throw closed();
    const id = this.#call(start);
    if (!this.#connection) throw trapped();
    this.#wake();
    if (!signal) return new Promise((resolve, reject) => this.#requests.set(id, { resolve, reject }));

    const reply = deferred();
    this.#requests.set(id, reply);
    const abort = () => {
      this.#cancel(id);
      reply.reject(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
    try {
      return await reply.promise;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** Makes a request about pending entries. `operation` says which. */
  #pending(operation, names, signal, count, minIdleMs) {
    return this.#request(signal, (connection) =>
      connection.pending(
        operation,
        Object.entries(names).map(([what, value]) => (IDS.has(what) ? text : name)(value, what)),
        wholeNumber(count, "count"),
        wholeNumber(minIdleMs, "minIdleMs"),
        now(),
      ),
    );
  }

  /** Returns what starts a subscription: it takes a sink, and returns how to control it. */
  #subscribe(start) {
    return (sink) => {
      if (!this.#connection) return void sink.reject(closed());
      const id = this.#call(start);
      if (!this.#connection) return void sink.reject(trapped());
      this.#requests.set(id, sink);
      this.#wake();
      return {
        consumed: (entries, bytes) => {
          this.#call((connection) => connection.consumed(id, entries, bytes));
          this.#wake();
        },
        cancel: () => this.#cancel(id),
      };
    };
  }

  #cancel(id) {
    this.#requests.delete(id);
    this.#call((connection) => connection.cancel(id));
    this.#wake();
  }

  /** Returns the constructor of the module's sockets. */
  #opener(WebSocket) {
    const client = this;
    return function (url, protocol) {
      return (client.#socket = new (WebSocket ?? globalThis.WebSocket)(url, protocol));
    };
  }

  /** Calls the module, if the client is not closed. After a trap the client is. */
  #call(start) {
    try {
      return this.#connection && start(this.#connection);
    } catch (error) {
      // Anything else is about an argument.
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      this.#fail(error);
    }
  }

  /** Ends everything: a module that has trapped may do anything when it is called again. */
  #fail(error) {
    this.#connection = undefined;
    this.#socket?.close();
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const request of requests) request.reject(trapped());
    this.#enterState(new StateEvent("closed", ABNORMAL, `the module trapped: ${error.message}`), "INTERNAL");
  }

  /** Schedules a pump: one for everything that happens in this turn of the event loop. */
  #wake() {
    if (this.#pumpDue || !this.#connection) return;
    this.#pumpDue = true;
    queueMicrotask(() => this.#pump());
  }

  #pump() {
    this.#pumpDue = false;
    // A listener below may let microtasks run, and one of them may get here.
    if (this.#pumping || !this.#connection) return;
    this.#pumping = true;
    let ms;
    try {
      ms = this.#connection.pump(now());
    } catch (error) {
      // Not only a trap: a stack overflow is a RangeError.
      this.#fail(error);
    }
    this.#pumping = false;
    if (!this.#connection) return;
    this.#sleep(ms);
    const force = this.#tokenRequest;
    this.#tokenRequest = undefined;
    if (force !== undefined) void this.#answerToken(force);
    const events = this.#stateEvents;
    this.#stateEvents = [];
    for (const [event, error] of events) this.#enterState(event, error);
  }

  /** Asks the owner for a token, and hands the answer to the module. */
  async #answerToken(force) {
    const call = (this.#tokenCall = {});
    let outcome = HAS_TOKEN;
    let answer;
    try {
      answer = text(await this.#token({ force }), "a token");
    } catch (error) {
      outcome = error?.code === "NOAUTH" ? SIGNED_OUT : LATER;
      answer = `${error?.message ?? error}`;
    }
    if (call !== this.#tokenCall) return;
    this.#call((connection) => connection.token(outcome, answer, now()));
    this.#wake();
  }

  /** Receives the module's events during a pump, and must not call the module: see `npm.rs`. */
  #handleEvent(kind, id, a, b, c) {
    if (kind === STATE) {
      this.#stateEvents.push([new StateEvent(a, id || c, b), c]);
      return;
    }
    if (kind === TOKEN) {
      this.#tokenRequest = id === 1;
      return;
    }
    const request = this.#requests.get(id);
    if (!request) return;
    if (kind >= PUSHED && kind <= SKIPPED) return request.push(kind, a, b, c);
    this.#requests.delete(id);
    if (kind === FAILED) {
      request.reject(new StreamgateError(a, b, c));
    } else if (kind === VALUE) {
      request.resolve(a);
    } else if (kind === ENTRIES) {
      const entries = entriesFrom(a);
      if (b !== undefined) entries.lastId = b;
      request.resolve(entries);
    } else if (kind === PENDING) {
      request.resolve([a, b, c]);
    } else {
      request.resolve();
    }
  }

  /** `error` is the code of the error that explains the state. */
  #enterState(event, error) {
    this.#state = event.state;
    if (event.state === "open") this.#open.resolve();
    if (event.state === "closed") {
      clearTimeout(this.#timer);
      this.#listen("removeEventListener");
      this.#connection?.free();
      this.#connection = undefined;
      const why = `${event.reason || "the connection ended"} (${event.code})`;
      this.#open.reject(new StreamgateError(error, why, error === "DISCONNECTED" ? "later" : "never"));
      this.#closed.resolve();
    }
    this.dispatchEvent(event);
  }

  /** `resume` and `visibilitychange` are dispatched to the document, and bubble no further. */
  #listen(change) {
    for (const target of [globalThis, globalThis.document]) {
      for (const type of RETURN_EVENTS) target?.[change]?.(type, this.#networkChanged);
    }
  }

  #networkChanged = () => {
    if (globalThis.document?.visibilityState === "hidden") return;
    this.#call((connection) => connection.network_changed(now()));
    this.#wake();
  };

  /** Makes the next pump come within `ms` milliseconds. */
  #sleep(ms) {
    const due = ms < 0 ? Infinity : now() + ms;
    // A timer that fires too early costs one needless pump; a new timer for each pump costs more.
    if (due >= this.#timerDue) return;
    clearTimeout(this.#timer);
    this.#timerDue = due;
    this.#timer = setTimeout(
      () => {
        this.#timerDue = Infinity;
        this.#wake();
      },
      // One more: a timer may fire up to a millisecond early by this clock.
      Math.min(ms + 1, LONGEST_TIMER_MS),
    );
  }
}

function now() {
  return performance.now();
}

function trapped() {
  return new StreamgateError("INTERNAL", "the module trapped", "never");
}

function closed() {
  return new StreamgateError("CLOSED", "the client is closed", "never");
}
