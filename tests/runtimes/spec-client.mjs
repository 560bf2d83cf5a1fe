// A second implementation of the protocol, written from protocol/SPEC.md alone. It shares no code
// with the first. It proves that the specification is complete, and gives tests a client without
// hidden behaviour: it neither reconnects nor pings by itself.

// A type writes a value as binary, reads it from binary, and checks it as JSON (`check`).

const uintOf = (bits) => ({
  write(out, value) {
    if (!Number.isSafeInteger(value) || value < 0 || value >= 2 ** bits) throw new RangeError(`not a Uint: ${value}`);
    for (; value >= 128; value = Math.floor(value / 128)) out.push((value % 128) | 128);
    out.push(value);
  },
  read(input) {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = input.byte();
      value |= BigInt(byte & 127) << shift;
      if (value >= 1n << BigInt(bits)) throw new RangeError("a varint is out of range");
      if (byte < 128) break;
      if (shift + 7n >= bits) throw new RangeError("a varint is too long");
    }
    if (value > Number.MAX_SAFE_INTEGER) throw new RangeError("a varint exceeds Number.MAX_SAFE_INTEGER");
    return Number(value);
  },
  check(value) {
    if (!Number.isSafeInteger(value) || value < 0 || value >= 2 ** bits) throw new TypeError("not a Uint");
    return value;
  },
});
const uint = uintOf(64);
const uint32 = uintOf(32);

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const text = {
  write(out, value) {
    if (!value.isWellFormed()) throw new TypeError("an unpaired surrogate");
    const bytes = new TextEncoder().encode(value);
    uint.write(out, bytes.length);
    for (const byte of bytes) out.push(byte);
  },
  read: (input) => utf8.decode(input.take(uint.read(input))),
  check(value) {
    if (typeof value !== "string" || !value.isWellFormed()) throw new TypeError("not a Text");
    return value;
  },
};

const bool = {
  write: (out, value) => out.push(value ? 1 : 0),
  read(input) {
    const byte = input.byte();
    if (byte > 1) throw new RangeError("neither false nor true");
    return byte === 1;
  },
  check(value) {
    if (typeof value !== "boolean") throw new TypeError("not a Bool");
    return value;
  },
};

const optional = (type) => ({
  optional: true,
  write(out, value) {
    out.push(value === null ? 0 : 1);
    if (value !== null) type.write(out, value);
  },
  read(input) {
    const some = input.byte();
    if (some > 1) throw new RangeError("neither absent nor present");
    return some ? type.read(input) : null;
  },
  check: (value) => (value === null ? null : type.check(value)),
});

const list = (type) => ({
  write(out, value) {
    uint.write(out, value.length);
    for (const item of value) type.write(out, item);
  },
  read(input) {
    const length = uint.read(input);
    if (length > input.left()) throw new RangeError("a list is longer than its frame"); // an item has at least one byte
    return Array.from({ length }, () => type.read(input));
  },
  check(value) {
    if (!Array.isArray(value)) throw new TypeError("not a list");
    return value.map((item) => type.check(item));
  },
});

const pair = (first, second) => ({
  write(out, value) {
    first.write(out, value[0]);
    second.write(out, value[1]);
  },
  read: (input) => [first.read(input), second.read(input)],
  check(value) {
    if (!Array.isArray(value) || value.length !== 2) throw new TypeError("not a pair");
    return [first.check(value[0]), second.check(value[1])];
  },
});

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

const record = (fields) => ({
  write(out, value) {
    for (const [name, type] of Object.entries(fields)) type.write(out, value[name]);
  },
  read: (input) => Object.fromEntries(Object.entries(fields).map(([name, type]) => [name, type.read(input)])),
  check(value) {
    if (!isObject(value)) throw new TypeError("not a record");
    return Object.fromEntries(Object.entries(fields).map(([name, type]) => {
      if (!Object.hasOwn(value, name) && !type.optional) throw new TypeError(`no ${name}`);
      return [name, type.check(value[name] ?? null)];
    }));
  },
});

class UnknownChoice extends TypeError {}

const choice = (types) => ({
  names: Object.keys(types),
  write(out, value) {
    const [name] = Object.keys(value);
    uint.write(out, Object.keys(types).indexOf(name));
    types[name].write(out, value[name]);
  },
  read(input) {
    const found = Object.entries(types)[uint32.read(input)];
    if (!found) throw new UnknownChoice("an unknown choice");
    return { [found[0]]: found[1].read(input) };
  },
  check(value) {
    const keys = isObject(value) ? Object.keys(value) : [];
    if (keys.length !== 1) throw new TypeError("not a choice");
    if (!Object.hasOwn(types, keys[0])) throw new UnknownChoice(`unknown: ${keys[0]}`);
    return { [keys[0]]: types[keys[0]].check(value[keys[0]]) };
  },
});

// Sections 3 to 5, in the order of section 11's table.

const entry = pair(text, list(pair(text, text)));
const operation = choice({
  add: record({ stream: text, fields: list(pair(text, text)), maxlen: optional(uint) }),
  read_latest: record({ stream: text, count: uint }),
  read: record({ stream: text, last_id: text, count: uint, block_ms: optional(uint) }),
  create_group: record({ stream: text, group: text, id: text }),
  read_group: record({ stream: text, group: text, consumer: text, count: uint, block_ms: optional(uint) }),
  ack: record({ stream: text, group: text, ids: list(text) }),
  read_pending: record({ stream: text, group: text, consumer: text, after: text, count: uint }),
  add_once: record({
    stream: text,
    fields: list(pair(text, text)),
    maxlen: optional(uint),
    producer: text,
    number: uint,
    after: uint,
    again: bool,
  }),
  pending_summary: record({ stream: text, group: text }),
  pending: record({
    stream: text,
    group: text,
    start: text,
    end: text,
    count: uint,
    consumer: optional(text),
    min_idle_ms: optional(uint),
  }),
  claim: record({ stream: text, group: text, consumer: text, min_idle_ms: uint, start: text, count: uint }),
  remove_consumer: record({ stream: text, group: text, consumer: text, heir: text }),
});
const pendingEntry = record({ id: text, consumer: text, idle_ms: uint, deliveries: uint });
const reply = choice({
  added: record({ id: text }),
  entries: record({ entries: list(entry), last_id: optional(text) }),
  done: record({}),
  summary: record({
    count: uint,
    smallest: optional(text),
    greatest: optional(text),
    consumers: list(pair(text, uint)),
  }),
  pending: record({ entries: list(pendingEntry) }),
  claimed: record({ cursor: text, entries: list(entry), deleted: list(text) }),
  removed: record({ handed_over: uint }),
});
const fault = record({ code: text, message: text, retry: text });
const subscription = choice({
  tail: record({
    stream: text,
    from: choice({
      beginning: record({}),
      now: record({}),
      after: record({ id: text }),
      last: record({ count: uint }),
    }),
  }),
  consume: record({
    stream: text,
    group: text,
    consumer: text,
    batch: uint,
    claim_after_ms: optional(uint),
    max_deliveries: optional(uint),
    dead_letter: optional(text),
    resumed: optional(bool),
  }),
});
const credit = record({ entries: uint, bytes: uint });
const item = choice({
  entries: record({ entries: list(entry), position: optional(text) }),
  gap: record({ after: text, first: optional(text), recreated: bool, position: text }),
});
const messages = {
  client: choice({
    request: record({ id: uint, operation }),
    cancel: record({ id: uint }),
    ping: record({ nonce: uint }),
    subscribe: record({ id: uint, subscription, credit }),
    grant: record({ id: uint, credit }),
  }),
  server: choice({
    welcome: record({ server: text, max_in_flight: uint32, max_frame_bytes: uint32, heartbeat_ms: uint32 }),
    reply: record({ id: uint, outcome: choice({ ok: reply, error: fault }) }),
    pong: record({ nonce: uint }),
    push: record({ id: uint, item }),
    position: record({ id: uint, last_id: text }),
    backend: record({ away: optional(fault) }),
  }),
};

/** Encodes messages as one frame: a string in "json", bytes in "bin". `direction` is the sender. */
export function encode(direction, encoding, values) {
  const checked = values.map((value) => messages[direction].check(value));
  if (encoding === "json") return checked.map((value) => JSON.stringify(value)).join("\n");
  const out = [];
  for (const value of checked) messages[direction].write(out, value);
  return Uint8Array.from(out);
}

/** Decodes the messages of a frame. Throws if it contains anything else. */
export function decode(direction, encoding, frame) {
  if (encoding === "bin") {
    const input = new Input(frame);
    const values = [];
    while (input.left() > 0) values.push(messages[direction].read(input));
    return values;
  }
  const lines = frame.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => JSON.parse(line)).flatMap((value) => {
    try {
      return [messages[direction].check(value)];
    } catch (error) {
      // Section 12: a client ignores unknown kinds of messages, but not an unknown choice within a
      // known message.
      const [kind, ...more] = isObject(value) ? Object.keys(value) : [];
      const known = Object.values(messages).flatMap((side) => side.names);
      const ignored = error instanceof UnknownChoice && more.length === 0 && !known.includes(kind);
      if (direction === "server" && ignored) return [];
      throw error;
    }
  });
}

class Input {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }
  left() {
    return this.bytes.length - this.at;
  }
  take(count) {
    if (count > this.left()) throw new RangeError("beyond the end of the frame");
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }
  byte() {
    return this.take(1)[0];
  }
}

/** The failure of a request. */
export class Fault extends Error {
  constructor({ code, message, retry }) {
    super(`${code} ${message}`);
    Object.assign(this, { name: "Fault", code, retry });
  }
}

/**
 * Connects, and resolves with a client when `welcome` arrives. The client never reconnects, and
 * pings only by `ping`.
 *
 * @param url "ws://…/v1/ws"
 * @param WebSocketCtor a constructor as browsers have it
 * @param options `encoding`: "json" (default) or "bin"
 */
export function open(url, WebSocketCtor, { encoding = "json" } = {}) {
  const socket = new WebSocketCtor(url, [`streamgate.v1.${encoding}`]);
  socket.binaryType = "arraybuffer";
  const awaited = new Map(); // by request id, or "ping" and the nonce
  const handlers = new Map(); // by subscription id
  let id = 0;
  const send = (...values) => socket.send(encode("client", encoding, values));
  const awaiting = (key, ...values) =>
    new Promise((resolve, reject) => {
      awaited.set(key, { resolve, reject });
      send(...values);
    });
  const client = {
    socket,
    /** The server's `welcome`. */
    welcome: undefined,
    /** The error that made the backend unavailable, while it is. */
    away: undefined,
    /** Resolves with `{ code, reason }` when the socket is closed. */
    closed: undefined,
    /** The id of the next request. */
    nextId: () => id + 1,
    /** Resolves with the reply or rejects with a Fault: `request({ ack: { … } })`. */
    request: (operation) => awaiting(++id, { request: { id, operation } }),
    /**
     * Subscribes, and returns `{ id, ended }`. `handle` is called with each item. `ended` rejects
     * with a Fault when the server ends the subscription.
     */
    subscribe(subscription, credit, handle) {
      handlers.set(++id, handle);
      const ended = awaiting(id, { subscribe: { id, subscription, credit } });
      ended.catch(() => {}); // callers may ignore it
      return { id, ended };
    },
    grant: (subscription, credit) => send({ grant: { id: subscription, credit } }),
    cancel: (request) => (handlers.delete(request), send({ cancel: { id: request } })),
    ping: (nonce) => awaiting(`ping ${nonce}`, { ping: { nonce } }),
    /** Sends a raw frame, valid or not. */
    sendRaw: (frame) => socket.send(frame),
    close: () => (socket.close(1000), client.closed),
  };
  return new Promise((opened, failed) => {
    const settle = (key, how, value) => {
      awaited.get(key)?.[how](value);
      awaited.delete(key); // replies to cancelled requests are allowed
    };
    const dispatch = (value) => {
      if (value.welcome) {
        client.welcome = value.welcome;
        opened(client);
      } else if (value.pong) {
        settle(`ping ${value.pong.nonce}`, "resolve", undefined);
      } else if (value.push) {
        handlers.get(value.push.id)?.(value.push.item);
      } else if (value.backend) {
        client.away = value.backend.away;
      } else if (value.reply) {
        const { id: answered, outcome } = value.reply;
        handlers.delete(answered);
        if (outcome.ok) settle(answered, "resolve", outcome.ok);
        else settle(answered, "reject", new Fault(outcome.error));
      }
    };
    client.closed = new Promise((resolve) => {
      socket.addEventListener("close", ({ code, reason }) => {
        const error = new Error(`closed with ${code} ${reason}`);
        failed(error);
        for (const { reject } of awaited.values()) reject(error);
        awaited.clear();
        resolve({ code, reason });
      });
    });
    socket.addEventListener("error", () => {}); // a close event with details follows
    socket.addEventListener("message", ({ data }) => {
      try {
        if ((typeof data === "string") !== (encoding === "json")) return socket.close(4405, "wrong frame type");
        decode("server", encoding, encoding === "json" ? data : new Uint8Array(data)).forEach(dispatch);
      } catch (error) {
        socket.close(4400, String(error).slice(0, 40));
      }
    });
  });
}
