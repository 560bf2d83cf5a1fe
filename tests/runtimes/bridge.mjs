// Calls the package's client as the control socket says, in any runtime.
//
// Each frame is a JSON list.
// In:  {n, method, args}, {cancel: n}, {end: s}.
// Out: {ready: {}}, {failed: fault}, {answer: {n, ok}}, {answer: {n, error: fault}}.
//
// A long value of one repeated character travels as {repeat: "x", times: 20000}: megabytes of it
// would keep the small calls waiting.

import { connect } from "streamgate";

/**
 * Each method with its arguments in the order of the trait's, then the signal, then the
 * subscriptions.
 */
const methods = {
  async add(client, [stream, fields, maxlen], signal) {
    const whole = fields.map(([name, value]) => [name, unpacked(value)]);
    return { id: await client.add(stream, whole, options({ maxlen, signal })) };
  },
  async readLatest(client, [stream, count], signal) {
    return { entries: plain(await client.readLatest(stream, count, { signal })) };
  },
  async read(client, [stream, lastId, count, blockMs], signal) {
    const entries = await client.read(stream, lastId, options({ count, blockMs, signal }));
    return { entries: plain(entries), lastId: entries.lastId };
  },
  async createGroup(client, [stream, group, id], signal) {
    return nothing(await client.createGroup(stream, group, id, { signal }));
  },
  async readGroup(client, [stream, group, consumer, count, blockMs], signal) {
    const limits = options({ count, blockMs, signal });
    return { entries: plain(await client.readGroup(stream, group, consumer, limits)) };
  },
  async ack(client, [stream, group, ids], signal, subscriptions) {
    // A batch acknowledges itself where it can, so that both ways are tested.
    const batch = subscriptions.given(stream, group, ids);
    return nothing(await (batch ? batch.ack() : client.ack(stream, group, ids, { signal })));
  },
  tail(client, [s, [stream, from]], _, subscriptions) {
    return subscriptions.begin(s, (signal) => client.tail(stream, { from, signal }));
  },
  async pending(client, [stream, group], signal) {
    const { smallest = null, greatest = null, ...rest } = await client.pending(stream, group, { signal });
    return { summary: { smallest, greatest, ...rest } };
  },
  async pendingEntries(client, [stream, group, given], signal) {
    const entries = await client.pendingEntries(stream, group, options({ ...given, signal }));
    return {
      pending: entries.map(({ idleMs: idle_ms, ...entry }) => ({ idle_ms, ...entry })),
    };
  },
  async claim(client, [stream, group, consumer, minIdleMs, given], signal) {
    const claimed = await client.claim(stream, group, consumer, minIdleMs, { ...given, signal });
    return { claimed: { ...claimed, entries: plain(claimed.entries) } };
  },
  async removeConsumer(client, [stream, group, consumer, newOwner], signal) {
    return { handedOver: await client.removeConsumer(stream, group, consumer, newOwner, { signal }) };
  },
  consume(client, [s, [stream, group, consumer, given]], _, subscriptions) {
    const make = (signal) => client.consume(stream, group, consumer, options({ ...given, signal }));
    return subscriptions.begin(s, make, { stream, group });
  },
  next(_client, [s], _, subscriptions) {
    return subscriptions.next(s);
  },
};

/** Subscriptions by their numbers. The next item is taken only when it is called for. */
class Subscriptions {
  #running = new Map();
  /** Batches that were not acknowledged as a whole, by whose they are. */
  #given = new Map();

  begin(s, make, place) {
    const controller = new AbortController();
    const batches = make(controller.signal).batches()[Symbol.asyncIterator]();
    this.#running.set(s, { controller, batches, place });
    return this.next(s);
  }

  async next(s) {
    const { batches, place } = this.#running.get(s);
    const { done, value: batch } = await batches.next();
    if (done) return {};
    const pulled = { entries: plain(batch.entries), gap: gap(batch), position: batch.position };
    if (place) this.#given.set(key(place.stream, place.group, ids(batch)), batch);
    return { pulled };
  }

  given(stream, group, ids) {
    const batch = this.#given.get(key(stream, group, ids));
    this.#given.delete(key(stream, group, ids));
    return batch;
  }

  end(s) {
    this.#running.get(s)?.controller.abort();
    this.#running.delete(s);
  }
}

/**
 * Connects to the control socket and to the proxy, and serves until the control socket closes.
 *
 * @param {string} control where the control socket is
 * @param {string} proxy where the proxy is
 */
export async function serve(control, proxy) {
  const socket = new WebSocket(control);
  const closed = event(socket, "close");
  await Promise.race([event(socket, "open"), closed]);
  const reports = [];
  // Reports of one turn of the event loop share a frame.
  const report = (one) => {
    if (reports.push(one) === 1) queueMicrotask(() => socket.send(JSON.stringify(reports.splice(0))));
  };
  let client;
  try {
    client = await connect(proxy);
  } catch (error) {
    report({ failed: fault(error) });
    await closed;
    return;
  }
  const running = new Map();
  const subscriptions = new Subscriptions();
  const call = async ({ n, method, args }) => {
    const controller = new AbortController();
    running.set(n, controller);
    try {
      const ok = await methods[method](client, args, controller.signal, subscriptions);
      report({ answer: { n, ok } });
    } catch (error) {
      // Who cancels a call does not wait for its answer.
      if (!controller.signal.aborted) report({ answer: { n, error: fault(error) } });
    } finally {
      running.delete(n);
    }
  };
  socket.addEventListener("message", ({ data }) => {
    for (const command of JSON.parse(data)) {
      if (command.cancel !== undefined) running.get(command.cancel)?.abort();
      else if (command.end !== undefined) subscriptions.end(command.end);
      else call(command);
    }
  });
  report({ ready: {} });
  await closed;
  await client.close();
}

/** Reads where to go from the query of an address. */
export function fromQuery(url) {
  const query = new URL(url).searchParams;
  return serve(query.get("control"), query.get("proxy"));
}

function event(target, name) {
  return new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));
}

/** An option that the trait leaves out is left out here too. */
function options(given) {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null));
}

function plain(entries) {
  return Array.from(entries, ({ id, fields }) => [id, fields.map(([name, value]) => [name, packed(value)])]);
}

/** Shortest value that is packed, in UTF-16 code units. */
const MIN_PACKED = 1_024;

function packed(value) {
  if (value.length < MIN_PACKED || value !== value[0].repeat(value.length)) return value;
  return { repeat: value[0], times: value.length };
}

/** Decoded and not `repeat`ed, which would make a rope: V8 reads ropes many times slower. */
function unpacked(value) {
  if (typeof value === "string") return value;
  return new TextDecoder().decode(new Uint8Array(value.times).fill(value.repeat.charCodeAt(0)));
}

/** Its fields by their names, however the package keeps them. */
function gap({ gap }) {
  if (gap === undefined) return undefined;
  const { after, first, recreated, position } = gap;
  return { after, first, recreated, position };
}

function ids({ entries }) {
  return Array.from(entries, ({ id }) => id);
}

function key(...parts) {
  return JSON.stringify(parts);
}

function nothing(value) {
  return value === undefined ? {} : { id: `not undefined: ${value}` };
}

function fault(error) {
  if (!(error instanceof Error)) return { name: "not an Error", message: String(error) };
  const { name, code, retry, message } = error;
  return { name, code, retry, message };
}
