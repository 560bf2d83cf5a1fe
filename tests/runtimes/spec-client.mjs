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

/** Bytes of a name or a value: a string, or `{ base64 }` where they are not UTF-8 or where that is shorter. */
const bytes = {
  write(out, value) {
    const all = bytesOf(value);
    uint.write(out, all.length);
    for (const byte of all) out.push(byte);
  },
  read: (input) => shown(input.take(uint.read(input))),
  check: (value) => shown(bytesOf(value)),
};

function bytesOf(value) {
  if (!isObject(value)) return new TextEncoder().encode(text.check(value));
  const { base64, ...more } = value;
  if (typeof base64 !== "string" || Object.keys(more).length > 0) throw new TypeError("neither a string nor base64");
  const all = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  if (toBase64(all) !== base64) throw new TypeError("malformed base64");
  return all;
}

function shown(all) {
  const base64 = toBase64(all);
  try {
    const value = utf8.decode(all);
    if (new TextEncoder().encode(JSON.stringify(value)).length <= `{"base64":"${base64}"}`.length) return value;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
  return { base64 };
}

const toBase64 = (all) => btoa(Array.from(all, (byte) => String.fromCharCode(byte)).join(""));

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
  optional: true, // its record may end before it
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

/** Writes a length, then the bytes that `fill` puts out. */
function writeDelimited(out, fill) {
  const inner = [];
  fill(inner);
  uint.write(out, inner.length);
  for (const byte of inner) out.push(byte);
}

/** Reads a length, and returns what it delimits. Whoever reads that may leave bytes unread. */
const readDelimited = (input) => new Input(input.take(uint.read(input)));

const record = (fields) => ({
  write(out, value) {
    writeDelimited(out, (inner) => {
      for (const [name, type] of Object.entries(fields)) type.write(inner, value[name]);
    });
  },
  read(input) {
    const inner = readDelimited(input);
    return Object.fromEntries(Object.entries(fields).map(([name, type]) => {
      if (inner.left() === 0 && type.optional) return [name, null];
      return [name, type.read(inner)];
    }));
  },
  check(value) {
    if (!isObject(value)) throw new TypeError("not a record");
    return Object.fromEntries(Object.entries(fields).map(([name, type]) => {
      if (!Object.hasOwn(value, name) && !type.optional) throw new TypeError(`no ${name}`);
      return [name, type.check(value[name] ?? null)];
    }));
  },
});

/** The one field of a record that has no name, so that JSON shows the field instead of a record. */
const unnamed = (type) => ({
  write: (out, value) => writeDelimited(out, (inner) => type.write(inner, value)),
  read: (input) => type.read(readDelimited(input)),
  check: (value) => type.check(value),
});

class UnknownChoice extends TypeError {}

const choice = (types) => ({
  names: Object.keys(types),
  types,
  write(out, value) {
    const [name] = Object.keys(value);
    uint.write(out, Object.keys(types).indexOf(name));
    types[name].write(out, value[name]);
  },
  read(input) {
    const found = Object.entries(types)[uint.read(input)];
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

const entry = pair(text, list(pair(bytes, bytes)));
const operation = choice({
  add: record({ stream: bytes, fields: list(pair(bytes, bytes)), maxlen: optional(uint) }),
  read_latest: record({ stream: bytes, count: uint }),
  read: record({ stream: bytes, last_id: text, count: uint, block_ms: optional(uint) }),
  create_group: record({ stream: bytes, group: bytes, id: text }),
  read_group: record({ stream: bytes, group: bytes, consumer: bytes, count: uint, block_ms: optional(uint) }),
  ack: record({ stream: bytes, group: bytes, ids: list(text) }),
  read_pending: record({
    stream: bytes,
    group: bytes,
    consumer: bytes,
    after: text,
    count: uint,
    except: list(text),
  }),
  idempotent_add: record({
    stream: bytes,
    fields: list(pair(bytes, bytes)),
    maxlen: optional(uint),
    producer: text,
    number: uint,
    after: uint,
    resent: bool,
  }),
  pending_summary: record({ stream: bytes, group: bytes }),
  pending: record({
    stream: bytes,
    group: bytes,
    start: text,
    end: text,
    count: uint,
    consumer: optional(bytes),
    min_idle_ms: optional(uint),
  }),
  claim: record({ stream: bytes, group: bytes, consumer: bytes, min_idle_ms: uint, start: text, count: uint }),
  remove_consumer: record({ stream: bytes, group: bytes, consumer: bytes, new_owner: bytes }),
  consumers: record({ stream: bytes, group: bytes }),
});
const pendingEntry = record({ id: text, consumer: bytes, idle_ms: uint, deliveries: uint });
const reply = choice({
  added: record({ id: text }),
  entries: record({ entries: list(entry), last_id: optional(text), more: bool }),
  done: record({}),
  acknowledged: record({ count: uint }),
  summary: record({
    count: uint,
    smallest: optional(text),
    greatest: optional(text),
    consumers: list(pair(bytes, uint)),
  }),
  pending: record({ entries: list(pendingEntry) }),
  claimed: record({ cursor: text, entries: list(entry), deleted: list(text), more: bool }),
  removed: record({ handed_over: uint }),
  consumers: record({ consumers: list(record({ name: bytes, pending: uint, idle_ms: uint })) }),
});
const fault = record({
  code: text,
  message: text,
  retry: text,
  retry_after_ms: optional(uint),
  entry: optional(text),
  last_number: optional(uint),
});
const subscription = choice({
  tail: record({
    stream: bytes,
    from: choice({
      beginning: record({}),
      now: record({}),
      after: record({ id: text }),
      last: record({ count: uint }),
    }),
  }),
  consume: record({
    stream: bytes,
    group: bytes,
    consumer: bytes,
    batch: uint,
    claim_after_ms: optional(uint),
    max_deliveries: optional(uint),
    dead_letter: optional(bytes),
    resumed: optional(bool),
    create_from: optional(text),
    position: optional(text),
  }),
});
const credit = record({ entries: uint, bytes: uint });
/** A word that is not known means `trimmed`. */
const gapReason = {
  ...text,
  read: (input) => gapReason.check(text.read(input)),
  check: (value) => (["recreated", "rolled_back"].includes(text.check(value)) ? value : "trimmed"),
};
const item = choice({
  entries: record({ entries: list(entry), position: optional(text) }),
  gap: record({ after: text, first: optional(text), position: text, reason: gapReason }),
  skipped: record({ id: text, bytes: uint, reason: text }),
});
const identity = record({ subject: text, renew_after_ms: optional(uint), expires_after_ms: optional(uint) });
const messages = {
  client: choice({
    hello: record({ client: text, max_frame_bytes: uint32, features: list(text), token: optional(text) }),
    request: record({ id: uint, operation }),
    cancel: record({ id: uint }),
    subscribe: record({ id: uint, subscription, credit }),
    grant: record({ id: uint, credit }),
    ping: record({ nonce: uint }),
    pong: record({ nonce: uint }),
    authenticate: record({ token: text }),
  }),
  server: choice({
    welcome: record({
      server: text,
      features: list(text),
      max_in_flight: uint32,
      max_frame_bytes: uint32,
      heartbeat_ms: uint32,
      identity: optional(identity),
    }),
    reply: record({ id: uint, outcome: choice({ ok: unnamed(reply), error: fault }) }),
    push: record({ id: uint, item }),
    position: record({ id: uint, last_id: text }),
    backend: record({ unavailable: optional(fault) }),
    ping: record({ nonce: uint }),
    pong: record({ nonce: uint }),
    auth: record({ identity: optional(identity), refused: optional(fault) }),
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

/** A request, a subscription or a reply of which only the id can be decoded. */
export class Undecodable extends Error {
  constructor(id, cause) {
    super(`message ${id}: ${cause.message}`, { cause });
    this.id = id;
  }
}

/** Decodes the messages of a frame. Throws if it contains anything else. */
export function decode(direction, encoding, frame) {
  return received(direction, encoding, frame).map((value) => {
    if (value.undecodable) throw value.undecodable;
    return value;
  });
}

/** As `decode`, with `{ undecodable }` for a message of which only the id can be decoded. */
function received(direction, encoding, frame) {
  const each = encoding === "bin" ? eachRecord : eachLine;
  return Array.from(each(direction, frame), (read) => read()).filter((value) => value !== undefined);
}

/** The messages that section 2 lets a receiver answer, or end, by their id alone. */
const withId = { client: ["request", "subscribe"], server: ["reply"] };

/**
 * What to do with a message of `kind` that cannot be decoded: undefined if it is ignored,
 * `{ undecodable }` if its id can be read. Throws if the socket is closed.
 */
function failed(direction, kind, id, error) {
  if (withId[direction].includes(kind) && id !== undefined) return { undecodable: new Undecodable(id, error) };
  if (direction === "server" && error instanceof UnknownChoice) return undefined;
  throw error;
}

/** Yields a function that reads each message: a number and a record. */
function* eachRecord(direction, frame) {
  const input = new Input(frame);
  const { names, types } = messages[direction];
  while (input.left() > 0) {
    const kind = names[uint.read(input)];
    const length = uint.read(input);
    const bytes = input.take(length);
    yield () => {
      try {
        if (kind === undefined) throw new UnknownChoice("an unknown message");
        const delimited = [];
        uint.write(delimited, length);
        return { [kind]: types[kind].read(new Input(Uint8Array.of(...delimited, ...bytes))) };
      } catch (error) {
        return failed(direction, kind, idOf(bytes), error);
      }
    };
  }
}

/** The id with which a record begins, if it does. */
function idOf(bytes) {
  try {
    return uint.read(new Input(bytes));
  } catch {
    return undefined;
  }
}

/** Yields a function that reads each message: a line. */
function* eachLine(direction, frame) {
  for (const line of frame.split("\n")) {
    if (line.trim() === "") continue;
    const value = JSON.parse(line);
    yield () => {
      try {
        return messages[direction].check(value);
      } catch (error) {
        const [kind, ...more] = isObject(value) ? Object.keys(value) : [];
        // A message of the other side is a violation.
        const foreign = messages[direction === "server" ? "client" : "server"].names;
        if (more.length > 0 || (foreign.includes(kind) && !messages[direction].names.includes(kind))) throw error;
        const id = value[kind]?.id;
        return failed(direction, kind, Number.isSafeInteger(id) && id >= 0 ? id : undefined, error);
      }
    };
  }
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
  constructor({ code, message, retry, entry }) {
    super(`${code} ${message}`);
    Object.assign(this, { name: "Fault", code, retry, entry });
  }
}

/** A hello of a client that is like no other: 128 random bits as base64url. */
export function newHello() {
  const bits = String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16)));
  const client = btoa(bits).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return { client, max_frame_bytes: 16842752, features: [], token: null };
}

/**
 * Connects, and resolves with a client when `welcome` arrives. The client never reconnects, and
 * pings only by `ping`.
 *
 * @param url "ws://…/v1/ws"
 * @param WebSocketCtor a constructor as browsers have it
 * @param options `encoding`: "json" (default) or "bin"; `hello`
 */
export function open(url, WebSocketCtor, { encoding = "json", hello = newHello() } = {}) {
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
    unavailable: undefined,
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
      if (value.undecodable) {
        const { id: answered, message } = value.undecodable;
        settle(answered, "reject", new Fault({ code: "PROTOCOL", message, retry: "never" }));
      } else if (value.welcome) {
        client.welcome = value.welcome;
        opened(client);
      } else if (value.pong) {
        settle(`ping ${value.pong.nonce}`, "resolve", undefined);
      } else if (value.ping) {
        send({ pong: value.ping });
      } else if (value.push) {
        handlers.get(value.push.id)?.(value.push.item);
      } else if (value.backend) {
        client.unavailable = value.backend.unavailable;
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
    socket.addEventListener("open", () => send({ hello }));
    socket.addEventListener("error", () => {}); // a close event with details follows
    socket.addEventListener("message", ({ data }) => {
      try {
        if ((typeof data === "string") !== (encoding === "json")) return socket.close(4405, "wrong frame type");
        received("server", encoding, encoding === "json" ? data : new Uint8Array(data)).forEach(dispatch);
      } catch (error) {
        socket.close(4400, String(error).slice(0, 40));
      }
    });
  });
}
