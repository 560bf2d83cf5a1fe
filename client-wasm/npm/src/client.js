// `Client`: its calls, their promises by id, and what the module asks it to do.

import { ABANDON, CLOSE, CONNECT, ENTER_STATE, FINISH, PUSH, REQUEST_TOKEN, SEND } from "./actions.js";
import { check, checkTokenUrl, text } from "./arguments.js";
import { encoder } from "./bytes.js";
import { asyncDispose, deferred } from "./deferred.js";
import { Deliveries } from "./deliveries.js";
import { StreamgateError } from "./errors.js";
import * as operations from "./operations.js";
import * as parameters from "./parameters.js";
import { Reader } from "./reader.js";
import { settle } from "./replies.js";
import { ABNORMAL, Socket } from "./socket.js";
import { Tail } from "./subscription.js";
import { encode } from "./writer.js";

/** The longest timer that every runtime supports; longer ones fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The requests that may wait until the module is loaded: as many as wait in it without a connection. */
const MAX_EARLY = 2 ** 16;

const MODULE_FAILED = "the WebAssembly module failed";

/** The events that a page receives when it, or the network, comes back. */
const RETURN_EVENTS = ["online", "pageshow", "resume", "visibilitychange"];

/** Where the client's tokens come from, as in `npm.rs`. */
const NO_TOKEN = 0;
const FIXED = 1;
const ON_DEMAND = 2;

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
 * Makes a platform's `open` and `connect`. Their first call loads the module, not the import.
 *
 * @param {() => WebAssembly.Instance | Promise<WebAssembly.Instance>} instantiate
 */
export function makeEntryPoints(instantiate) {
  return {
    open(...values) {
      const [[url], options] = check(parameters.OPEN, values);
      return new Client(instantiate, url, { ...options, retry: true });
    },

    async connect(...values) {
      const [[url], options] = check(parameters.CONNECT, values);
      const { signal } = options;
      signal?.throwIfAborted();
      const client = new Client(instantiate, url, options);
      const abort = () => client.abort();
      signal?.addEventListener("abort", abort, { once: true });
      try {
        await client[ready]();
        // It may abort in the turn in which the client opens.
        signal?.throwIfAborted();
      } catch (error) {
        throw signal?.aborted ? signal.reason : error;
      } finally {
        signal?.removeEventListener("abort", abort);
      }
      return client;
    },
  };
}

const ready = Symbol("ready");

/**
 * A client of a streamgate server. It holds the socket, and the promises and the subscriptions by
 * their ids; every decision is in the module.
 */
export class Client extends EventTarget {
  /** The exports of this client's instance of the module, until it is closed. */
  #module;
  /** The calls of the module until it is loaded. */
  #early = [];
  #url;
  #WebSocket;
  #socket;
  #lastId = 0;
  #requests = new Map();
  #token;
  /** The last call of `#token`. The answers of those before count for nothing. */
  #tokenCall;
  #state = "connecting";
  #pumpDue = false;
  #timer;
  #timerDue = Infinity;
  #open = deferred();
  #closed = deferred();

  constructor(instantiate, url, { WebSocket, connectTimeoutMs, exactlyOnce, token, retry }) {
    super();
    const timeout = Math.min(connectTimeoutMs ?? parameters.CONNECT_TIMEOUT_MS, LONGEST_TIMER_MS);
    const isFixed = typeof token === "string";
    const source = isFixed ? FIXED : token ? ON_DEMAND : NO_TOKEN;
    if (source !== NO_TOKEN) checkTokenUrl(url);
    this.#token = token;
    this.#url = url;
    this.#WebSocket = WebSocket;
    const start = [...randomBytes(16), ...encoder.encode(isFixed ? token : "")];
    this.#listen("addEventListener");
    this.#call("open", start, timeout, exactlyOnce ?? true, source, retry ?? false);
    void this.#load(instantiate);
  }

  get state() {
    return this.#state;
  }

  static {
    for (const [method, [operation, ...own]] of Object.entries(parameters.REQUESTS)) {
      this.prototype[method] = function (...values) {
        return this.#request(operation, own, values);
      };
    }
  }

  tail(...values) {
    const [fields, { from, ...options }] = check(parameters.TAIL, values);
    const isAfter = fields[1] === operations.AFTER;
    return new Tail(this.#subscribe(operations.TAIL, fields), { from: isAfter ? from : undefined, ...options });
  }

  consume(...values) {
    const [fields, options] = check(parameters.CONSUME, values);
    const ack = (...ids) => this.ack(values[0], values[1], ...ids);
    return new Deliveries(this.#subscribe(operations.CONSUME, fields), ack, options);
  }

  close(...values) {
    const [[timeoutMs]] = check(parameters.CLOSE, values);
    this.#call("close", undefined, timeoutMs);
    return this.#closed.promise;
  }

  abort() {
    this.#call("abort");
  }

  [asyncDispose]() {
    return this.close();
  }

  [ready]() {
    return this.#open.promise;
  }

  /** Makes a request, and a promise for its reply. An invalid argument rejects the promise. */
  async #request(operation, own, values) {
    const [fields, { signal }] = check(own, values);
    signal?.throwIfAborted();
    const refusal = this.#refusal();
    if (refusal) throw refusal;
    const id = this.#start("request", operation, fields);
    if (this.#isClosed) throw failed();
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

  /** Returns what starts a subscription: it takes a sink, and returns how to control it. */
  #subscribe(subscription, fields) {
    return (sink) => {
      const refusal = this.#refusal();
      if (refusal) return void sink.reject(refusal);
      const id = this.#start("subscribe", subscription, fields);
      if (this.#isClosed) return void sink.reject(failed());
      this.#requests.set(id, sink);
      return {
        consumed: (entries, bytes) => this.#call("consumed", undefined, id, entries, bytes),
        cancel: () => this.#cancel(id),
      };
    };
  }

  get #isClosed() {
    return this.#state === "closed";
  }

  /** Returns why no further request is taken. */
  #refusal() {
    if (this.#isClosed) return new StreamgateError("CLOSED", "the client is closed", "never");
    if (this.#early?.length > MAX_EARLY) return new StreamgateError("OVERLOADED", "too many requests wait", "later");
  }

  /** Starts a request or a subscription, and returns its id. */
  #start(method, number, fields) {
    this.#call(method, encode([number, fields]), ++this.#lastId);
    return this.#lastId;
  }

  #cancel(id) {
    this.#requests.delete(id);
    this.#call("cancel", undefined, id);
  }

  /** Loads the module, and makes the calls that came before. */
  async #load(instantiate) {
    try {
      this.#module = (await instantiate()).exports;
    } catch (error) {
      this.#open.reject(error);
      this.#fail(error);
    }
    const early = this.#early;
    this.#early = undefined;
    for (const call of early) this.#call(...call);
  }

  /** Calls the module with bytes and numbers, unless the client is closed, and schedules a pump. */
  #call(method, bytes, ...numbers) {
    // The next request overwrites its bytes.
    if (this.#early) return void this.#early.push([method, bytes?.slice(), ...numbers]);
    const module = this.#module;
    if (!module) return;
    try {
      if (bytes) {
        const place = module.input(bytes.length);
        // Not before: the memory may have grown.
        new Uint8Array(module.memory.buffer, place).set(bytes);
      }
      module[method](...numbers, now());
    } catch (error) {
      this.#fail(error);
    }
    this.#wake();
  }

  /** Ends everything: a module that has trapped may do anything when it is called again. */
  #fail(error) {
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const request of requests) request.reject(failed());
    this.#enterState(new StateEvent("closed", ABNORMAL, `${MODULE_FAILED}: ${error.message}`), "INTERNAL");
  }

  /** Schedules a pump: one for everything that happens in this turn of the event loop. */
  #wake() {
    if (this.#pumpDue || !this.#module) return;
    this.#pumpDue = true;
    queueMicrotask(() => this.#pump());
  }

  #pump() {
    this.#pumpDue = false;
    const module = this.#module;
    if (!module) return;
    let ms, reader;
    try {
      ms = module.pump(this.#socket?.canSend ?? true, now());
      // A copy: the memory is written again, and some sockets keep what they send.
      reader = new Reader(new Uint8Array(module.memory.buffer, module.output(), module.output_length()).slice());
    } catch (error) {
      // Not only a trap: a stack overflow is a RangeError.
      return this.#fail(error);
    }
    this.#sleep(ms);
    const states = [];
    while (reader.hasMore) this.#act(reader.number(), reader, states);
    for (const state of states) this.#enterState(...state);
  }

  /** Does what the module asks for. States are entered afterwards: their listeners are the owner's. */
  #act(action, { number, bytes, text, optional }, states) {
    if (action === CONNECT) this.#connect();
    else if (action === CLOSE) this.#callSocket("close", number(), text());
    else if (action === ABANDON) this.#abandon();
    else if (action === REQUEST_TOKEN) void this.#answerToken(number() > 0);
    else if (action === SEND) this.#callSocket("send", bytes());
    else if (action === ENTER_STATE) {
      const [state, code, reason, error] = [text(), number(), optional(text), optional(text)];
      states.push([new StateEvent(state, code || error, reason), error]);
    } else {
      const id = number();
      const request = this.#requests.get(id);
      if (action === PUSH) {
        const item = { entries: number(), bytes: number(), kind: number(), record: bytes() };
        request?.push(item);
      } else {
        this.#requests.delete(id);
        const outcome = [number(), bytes()];
        if (request) settle(request, ...outcome);
      }
    }
  }

  #connect() {
    this.#socket = new Socket(this.#WebSocket ?? globalThis.WebSocket, this.#url, {
      opened: (subprotocol) => this.#call("opened", encoder.encode(subprotocol)),
      received: (data) => {
        const isText = typeof data === "string";
        this.#call("received", isText ? encoder.encode(data) : new Uint8Array(data), isText);
      },
      closed: (code, reason) => {
        this.#socket = undefined;
        this.#call("closed", encoder.encode(reason), code);
      },
    });
  }

  #callSocket(method, ...values) {
    this.#socket?.call(method, ...values);
  }

  #abandon() {
    this.#socket?.abandon();
    this.#socket = undefined;
  }

  /** Asks the owner for a token, and hands the answer to the module. */
  async #answerToken(force) {
    const call = (this.#tokenCall = {});
    let outcome = LATER;
    let answer;
    try {
      const token = await this.#token({ force });
      // The owner's mistake: every further call would end in the same way.
      outcome = SIGNED_OUT;
      [answer] = text(token, "a token");
      outcome = HAS_TOKEN;
    } catch (error) {
      if (error?.code === "NOAUTH") outcome = SIGNED_OUT;
      answer = `${error?.message ?? error}`;
    }
    if (call === this.#tokenCall) this.#call("token", encoder.encode(answer), outcome);
  }

  /** `error` is the code of the error that explains the state. */
  #enterState(event, error) {
    this.#state = event.state;
    if (event.state === "open") this.#open.resolve();
    if (event.state === "closed") {
      clearTimeout(this.#timer);
      this.#listen("removeEventListener");
      this.#abandon();
      this.#module = undefined;
      const why = `${event.reason || "the connection ended"} (${event.code})`;
      this.#open.reject(new StreamgateError(error, why, error === "DISCONNECTED" ? "later" : "never"));
      this.#closed.resolve();
    }
    // The state before was the same.
    if (event.state !== "connecting") this.dispatchEvent(event);
  }

  /** `resume` and `visibilitychange` are dispatched to the document, and bubble no further. */
  #listen(change) {
    for (const target of [globalThis, globalThis.document]) {
      for (const type of RETURN_EVENTS) target?.[change]?.(type, this.#networkChanged);
    }
  }

  #networkChanged = () => {
    if (globalThis.document?.visibilityState === "hidden") return;
    this.#call("network_changed");
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

/** Each client draws its own, so that copies of a process that were made before share none. */
function randomBytes(length) {
  return crypto.getRandomValues(new Uint8Array(length));
}

function now() {
  return performance.now();
}

function failed() {
  return new StreamgateError("INTERNAL", MODULE_FAILED, "never");
}
