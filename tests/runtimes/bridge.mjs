// Executes commands of the control socket with the client of the package, in any runtime.
//
// Each frame is a JSON list.
// In:  {n, method, args}, {cancel: n}, {end: s}.
// Out: {ready: {}}, {failed: fault}, {answer: {n, ok}}, {answer: {n, error: fault}}.
//
// A name or a value that is not UTF-8 travels as {bytes: [255, 254]}. A long value of one repeated
// character travels as {repeat: "x", times: 20000}: megabytes of JSON would delay the small calls.

import { connect } from "streamgate";

/** The methods by name: the client, the arguments of the trait in order, the signal, the subscriptions. */
const methods = {
  async add(client, [stream, fields, maxlen], signal) {
    const whole = fields.map((pair) => pair.map(unpacked));
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
    // Acknowledges by the batch if the ids are exactly those of one, so that both ways are tested.
    const batch = subscriptions.deliveredBatch(stream, group, ids);
    return { acknowledged: await (batch ? batch.ack() : client.ack(stream, group, ids, { signal })) };
  },
  tail(client, [s, [stream, from]], _, subscriptions) {
    return subscriptions.start(s, (signal) => client.tail(stream, { from, signal }));
  },
  async pending(client, [stream, group], signal) {
    const { smallest = null, greatest = null, count, consumers } = await client.pending(stream, group, { signal });
    const held = consumers.map(({ name, nameBytes, pending }) => [packed(nameBytes ?? name), pending]);
    return { summary: { smallest, greatest, count, consumers: held } };
  },
  async pendingEntries(client, [stream, group, query], signal) {
    const entries = await client.pendingEntries(stream, group, options({ ...query, signal }));
    return {
      pending: entries.map(({ id, consumer, consumerBytes, idleMs, deliveries }) => ({
        id,
        consumer: packed(consumerBytes ?? consumer),
        idle_ms: idleMs,
        deliveries,
      })),
    };
  },
  async claim(client, [stream, group, consumer, minIdleMs, page], signal) {
    const claimed = await client.claim(stream, group, consumer, minIdleMs, { ...page, signal });
    return { claimed: { ...claimed, entries: plain(claimed.entries) } };
  },
  async removeConsumer(client, [stream, group, consumer, newOwner], signal) {
    return { handedOver: await client.removeConsumer(stream, group, consumer, newOwner, { signal }) };
  },
  async consumers(client, [stream, group], signal) {
    const consumers = await client.consumers(stream, group, { signal });
    return {
      consumers: consumers.map(({ name, nameBytes, pending, idleMs }) => ({
        name: packed(nameBytes ?? name),
        pending,
        idleMs,
      })),
    };
  },
  consume(client, [s, [stream, group, consumer, settings]], _, subscriptions) {
    const make = (signal) => client.consume(stream, group, consumer, options({ ...settings, signal }));
    return subscriptions.start(s, make, { stream, group });
  },
  next(_client, [s], _, subscriptions) {
    return subscriptions.next(s);
  },
};

/** Subscriptions by number. The next item is read only when the method `next` is called. */
class Subscriptions {
  #running = new Map();
  /** Batches that were not acknowledged as a whole, by stream, group and ids. */
  #delivered = new Map();

  start(s, make, source) {
    const controller = new AbortController();
    const batches = make(controller.signal).batches()[Symbol.asyncIterator]();
    this.#running.set(s, { controller, batches, source });
    return this.next(s);
  }

  async next(s) {
    const { batches, source } = this.#running.get(s);
    const { done, value: batch } = await batches.next();
    if (done) return {};
    const pulled = { entries: plain(batch.entries), gap: gap(batch), position: batch.position };
    if (source) this.#delivered.set(key(source.stream, source.group, ids(batch)), batch);
    return { pulled };
  }

  deliveredBatch(stream, group, ids) {
    const batch = this.#delivered.get(key(stream, group, ids));
    this.#delivered.delete(key(stream, group, ids));
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
 * @param {string} control the address of the control socket
 * @param {string} proxy the address of the proxy
 */
export async function serve(control, proxy) {
  const socket = new WebSocket(control);
  const closed = event(socket, "close");
  await Promise.race([event(socket, "open"), closed]);
  const reports = [];
  // All reports of one turn of the event loop share a frame.
  const report = (message) => {
    if (reports.push(message) === 1) queueMicrotask(() => socket.send(JSON.stringify(reports.splice(0))));
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
      const ok = await methods[method](client, args.map(unpackedNames), controller.signal, subscriptions);
      report({ answer: { n, ok } });
    } catch (error) {
      // Nobody waits for the answer of a cancelled call.
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

/** Serves with the addresses in the query of a URL. */
export function fromQuery(url) {
  const query = new URL(url).searchParams;
  return serve(query.get("control"), query.get("proxy"));
}

function event(target, name) {
  return new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));
}

/** Removes the options that are `null`. */
function options(all) {
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
}

function plain(entries) {
  return Array.from(entries, (entry) => [entry.id, fieldsOf(entry).map((pair) => pair.map(packed))]);
}

/** The fields as text if all of them are, else as bytes. */
function fieldsOf(entry) {
  const isText = entry.fields.every((pair) => pair.every((part) => !part.includes("\ufffd")));
  return isText ? entry.fields : entry.toBytes().map((pair) => pair.map(textIfUtf8));
}

function textIfUtf8(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return bytes;
  }
}

/** Shortest value that is packed, in UTF-16 code units. */
const MIN_PACKED = 1_024;

function packed(value) {
  if (value instanceof Uint8Array) return { bytes: Array.from(value) };
  if (value.length < MIN_PACKED || value !== value[0].repeat(value.length)) return value;
  return { repeat: value[0], times: value.length };
}

/** Decodes bytes instead of using `repeat`, which makes a rope that V8 reads many times slower. */
function unpacked(value) {
  if (typeof value === "string") return value;
  if (value.bytes) return Uint8Array.from(value.bytes);
  return new TextDecoder().decode(new Uint8Array(value.times).fill(value.repeat.charCodeAt(0)));
}

/** Names among the arguments of a call, and among its settings. */
function unpackedNames(argument) {
  if (argument?.bytes) return unpacked(argument);
  if (argument === null || typeof argument !== "object" || Array.isArray(argument)) return argument;
  return Object.fromEntries(Object.entries(argument).map(([key, value]) => [key, unpackedNames(value)]));
}

/** A plain object with the fields of the gap. */
function gap({ gap }) {
  if (gap === undefined) return undefined;
  const { after, first, reason, position } = gap;
  return { after, first, reason, position };
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
