// The npm package plays the transcripts for clients of protocol/sequences, whose README describes
// them. The runner is the server.
//
// STREAMGATE_RUNTIMES   where node_modules is   (default target/runtimes)

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";

import { fromTarget } from "./proxy.mjs";
import { decode, encode } from "./spec-client.mjs";
import { clientTranscripts, Variables } from "./transcript.mjs";

const runtimes = fromTarget("STREAMGATE_RUNTIMES", "runtimes");
const { WebSocket, WebSocketServer } = createRequire(path.join(runtimes, "package.json"))("ws");
const entry = path.join(runtimes, "node_modules/streamgate/dist/platform/node.js");
const { connect } = await import(pathToFileURL(entry));

/** Catches hangs: far more than anything here takes. */
const HANG_LIMIT_MS = 30_000;

const WELCOME = {
  server: "runner/1",
  features: [],
  max_in_flight: 16384,
  max_frame_bytes: 16777216,
  heartbeat_ms: 15000,
};

/** A queue whose reader waits. */
class Queue {
  #items = [];
  #wake = () => {};

  push(item) {
    this.#items.push(item);
    this.#wake();
  }

  async next(what) {
    const until = Date.now() + HANG_LIMIT_MS;
    while (this.#items.length === 0) {
      assert.ok(Date.now() < until, `${what} did not come in time`);
      await Promise.race([new Promise((resolve) => (this.#wake = resolve)), sleep(1000, undefined, { ref: true })]);
    }
    return this.#items.shift();
  }

  get isEmpty() {
    return this.#items.length === 0;
  }
}

/** The runner's end of a socket. */
class ServerSocket {
  #received = new Queue();
  #granted = new Map();

  constructor(socket) {
    this.socket = socket;
    socket.on("message", (data, isBinary) => this.#receive(data, isBinary));
    socket.on("close", (code) => this.#received.push({ closed: code }));
    socket.on("error", () => {}); // a close follows
  }

  #receive(data, isBinary) {
    assert.ok(isBinary, "the package speaks the binary encoding");
    for (const message of decode("client", "bin", new Uint8Array(data))) {
      const [[kind, content]] = Object.entries(message);
      if (kind === "ping") {
        this.send([{ pong: content }]);
      } else if (kind === "grant") {
        this.#grant(content);
        this.#received.push({ granted: true });
      } else {
        if (kind === "subscribe") this.#granted.set(content.id, 0), this.#grant(content);
        this.#received.push({ message });
      }
    }
  }

  #grant({ id, credit }) {
    this.#granted.set(id, (this.#granted.get(id) ?? 0) + credit.entries);
  }

  send(messages) {
    this.socket.send(encode("server", "bin", messages));
  }

  /** Receives the next message that counts, or the client's close. */
  async receive() {
    for (;;) {
      const { message, closed } = await this.#received.next("a message");
      if (message) return message;
      if (closed) return { closed };
    }
  }

  async receiveCredit(id, moreThan) {
    while (!(this.#granted.get(id) > moreThan)) {
      const received = await this.#received.next("a grant");
      assert.ok(received.granted, `arrived instead: ${JSON.stringify(received)}`);
    }
  }

  get isSilent() {
    return this.#received.isEmpty;
  }
}

/** What an owner calls, by operation. */
const calls = {
  add: (client, { stream, fields, maxlen }, options) => client.add(stream, fields, { maxlen, ...options }),
  read_latest: (client, { stream, count }, options) => client.readLatest(stream, count, options).then(entriesOf),
  read: (client, { stream, last_id, count, block_ms }, options) =>
    client.read(stream, last_id, { count, blockMs: block_ms, ...options }).then(entriesOf),
  create_group: (client, { stream, group, id }, options) =>
    client.createGroup(stream, group, id, options).then(() => null),
  read_group: (client, { stream, group, consumer, count, block_ms }, options) =>
    client.readGroup(stream, group, consumer, { count, blockMs: block_ms, ...options }).then(entriesOf),
  ack: (client, { stream, group, ids }, options) => client.ack(stream, group, ids, options),
  pending_summary: async (client, { stream, group }, options) => {
    const { consumers, ...rest } = await client.pending(stream, group, options);
    return { ...rest, consumers: consumers.map(({ name, pending }) => [name, pending]) };
  },
  pending: async (client, { stream, group, start, end, count, consumer, min_idle_ms }, options) => {
    const query = { start, end, count, consumer, minIdleMs: min_idle_ms, ...options };
    const listed = await client.pendingEntries(stream, group, query);
    return listed.map(({ idleMs, ...rest }) => ({ ...rest, idle_ms: idleMs }));
  },
  claim: async (client, { stream, group, consumer, min_idle_ms, start, count }, options) => {
    const claimed = await client.claim(stream, group, consumer, min_idle_ms, { start, count, ...options });
    return { cursor: claimed.cursor, entries: entriesOf(claimed.entries), deleted: claimed.deleted };
  },
  remove_consumer: (client, { stream, group, consumer, new_owner }, options) =>
    client.removeConsumer(stream, group, consumer, new_owner, options),
  consumers: async (client, { stream, group }, options) => {
    const listed = await client.consumers(stream, group, options);
    return listed.map(({ idleMs, ...rest }) => ({ ...rest, idle_ms: idleMs }));
  },
};

const entriesOf = (entries) => Array.from(entries, ({ id, fields }) => [id, fields]);

function loopOf(client, subscription, signal) {
  if (subscription.tail) {
    const { stream, from } = subscription.tail;
    const [[start, content]] = Object.entries(from);
    const starts = { after: content.id, last: { last: content.count } };
    return client.tail(stream, { from: starts[start] ?? start, signal }).batches();
  }
  const { stream, group, consumer, batch, claim_after_ms, create_from } = subscription.consume;
  const options = { batch, claimAfterMs: claim_after_ms, createFrom: create_from, signal };
  return client.consume(stream, group, consumer, options).batches();
}

/** One transcript, played against a client of its own. */
class TestRun {
  #variables = new Variables();
  #upgrades = new Queue();
  #tokenRequests = new Queue();
  #http = createServer();
  #webSockets = new WebSocketServer({ noServer: true, handleProtocols: () => "streamgate.v1.bin" });
  #socket;
  #connecting;
  #client;
  #clientId;
  #results = new Map();
  #loops = new Map();
  #aborts = new Map();

  async play({ steps }) {
    this.#http.on("upgrade", (...upgrade) => this.#upgrades.push(upgrade));
    this.#http.listen(0, "127.0.0.1");
    await once(this.#http, "listening");
    try {
      await this.#playAll(steps);
      assert.ok(this.#tokenRequests.isEmpty, "the client asks for a token");
      if (this.#socket) {
        const last = { nonce: Number.MAX_SAFE_INTEGER };
        this.#socket.send([{ ping: last }]);
        assert.deepEqual(await this.#socket.receive(), { pong: last });
      }
    } finally {
      this.#aborts.forEach((abort) => abort.abort());
      this.#http.close();
      this.#connecting?.then((client) => client.abort()).catch(() => {});
      setTimeout(() => this.#socket?.socket.terminate(), 1000).unref();
    }
  }

  async #playAll(steps) {
    for (const [number, step] of steps.entries()) {
      try {
        await this[step.step](step);
      } catch (error) {
        error.message = `step ${number + 1}, ${JSON.stringify(step)}: ${error.message}`;
        throw error;
      }
    }
  }

  start({ idempotent_adds = false, token, token_source }) {
    const url = `ws://127.0.0.1:${this.#http.address().port}/v1/ws`;
    const source = ({ force }) => new Promise((resolve, reject) => this.#tokenRequests.push({ force, resolve, reject }));
    this.#connecting = connect(url, { WebSocket, exactlyOnce: idempotent_adds, token: token_source ? source : token });
    this.#connecting.catch(() => {}); // the step that needs the client reports it
  }

  async token_request({ force, answer, error }) {
    const request = await this.#tokenRequests.next("a request for a token");
    if (force !== undefined) assert.equal(request.force, force);
    if (error === undefined) request.resolve(answer);
    else request.reject(Object.assign(new Error("no token"), { code: error }));
  }

  async accept() {
    const [request, socket, head] = await this.#upgrades.next("a connection");
    const offered = request.headers["sec-websocket-protocol"].split(",").map((name) => name.trim());
    assert.ok(offered.includes("streamgate.v1.bin"), `the client offers ${offered}`);
    this.#webSockets.handleUpgrade(request, socket, head, (opened) => (this.#socket = new ServerSocket(opened)));
  }

  async connect({ welcome = {}, token }) {
    await this.accept();
    const { hello } = await this.#socket.receive();
    assert.match(hello?.client ?? "", /^[A-Za-z0-9_-]{1,64}$/);
    assert.ok(hello.max_frame_bytes >= 65536, JSON.stringify(hello));
    assert.equal(hello.token ?? undefined, token);
    this.#clientId ??= hello.client;
    assert.equal(hello.client, this.#clientId);
    this.#socket.send([{ welcome: { ...WELCOME, ...welcome } }]);
  }

  async refuse({ status, retry_after }) {
    const [, socket] = await this.#upgrades.next("a connection");
    const retryAfter = retry_after === undefined ? "" : `retry-after: ${retry_after}\r\n`;
    socket.end(`HTTP/1.1 ${status} Refused\r\n${retryAfter}content-length: 0\r\nconnection: close\r\n\r\n`);
  }

  send({ messages }) {
    this.#socket.send(this.#variables.fill(messages));
  }

  send_raw({ binary, json, other_type, id }) {
    const digits = binary.replaceAll("$id", () => {
      const value = this.#variables.fill(id);
      assert.ok(value < 128, `an id of several bytes: ${value}`);
      return value.toString(16).padStart(2, "0");
    });
    const bytes = Buffer.from(digits, "hex");
    this.#socket.socket.send(other_type ? json : bytes);
  }

  async expect({ messages, any_order }) {
    const received = [];
    while (received.length < messages.length) received.push(await this.#socket.receive());
    this.#compare(messages, received, any_order);
  }

  expect_credit({ id, more_than }) {
    return this.#socket.receiveCredit(this.#variables.fill(id), this.#variables.fill(more_than));
  }

  async expect_close({ code }) {
    assert.deepEqual(await this.#socket.receive(), { closed: code });
    this.#socket = undefined;
  }

  async silence({ ms }) {
    await sleep(ms);
    assert.ok(this.#socket?.isSilent ?? true, "a message arrived");
    assert.ok(this.#upgrades.isEmpty, "a connection arrived");
    assert.ok(this.#tokenRequests.isEmpty, "the client asks for a token");
  }

  pause({ ms }) {
    return sleep(ms);
  }

  async close({ code }) {
    const { socket } = this.#socket;
    this.#socket = undefined;
    socket.close(code);
    if (socket.readyState !== WebSocket.CLOSED) await once(socket, "close");
  }

  cut() {
    this.#socket.socket.terminate();
    this.#socket = undefined;
  }

  async call({ name, operation }) {
    const [[kind, content]] = Object.entries(this.#variables.fill(operation));
    const client = await this.#connected();
    const result = calls[kind](client, content, { signal: this.#abort(name) });
    this.#results.set(name, result);
    result.catch(() => {}); // the step "result" reports it
  }

  async result({ name, ok = null, ...expected }) {
    const settled = this.#results.get(name).then(
      (value) => ({ value: value ?? null }),
      (failure) => ({ failure }),
    );
    const { value, failure } = await withinTime(settled, `the result of ${name}`);
    if (expected.error !== undefined || failure) assertError(failure, expected);
    else this.#compare([ok], [value]);
  }

  async subscribe({ name, subscription }) {
    const client = await this.#connected();
    const loop = loopOf(client, this.#variables.fill(subscription), this.#abort(name));
    const items = new Queue();
    this.#loops.set(name, items);
    const isTail = "tail" in subscription;
    const run = async () => {
      for await (const { entries, gap, skipped } of loop) {
        for (const entry of entriesOf(entries)) items.push({ entry });
        if (gap) items.push({ gap: { after: gap.after, first: gap.first, position: gap.position, reason: gap.reason } });
        if (skipped && isTail) items.push({ skipped });
      }
    };
    run().then(
      () => items.push({}),
      (failure) => items.push({ failure }),
    );
  }

  async take({ name, items }) {
    const taken = [];
    while (taken.length < items.length) {
      const item = await this.#loops.get(name).next(`an item of ${name}`);
      if (item.failure) throw item.failure;
      taken.push(item);
    }
    this.#compare(items, taken);
  }

  async end({ name, ...expected }) {
    const { failure, ...item } = await this.#loops.get(name).next(`the end of ${name}`);
    assert.deepEqual(item, {}, "the loop is not over");
    if (expected.error !== undefined || failure) assertError(failure, expected);
  }

  cancel({ name }) {
    this.#aborts.get(name).abort();
  }

  async abort_client() {
    (await this.#connected()).abort();
  }

  async close_client() {
    void (await this.#connected()).close();
  }

  stopped() {
    return this.state({ state: "closed" });
  }

  async state({ state }) {
    const client = await this.#connected();
    const reached = new Promise((resolve) => {
      const check = () => client.state === state && resolve();
      client.addEventListener("state", check);
      check();
    });
    await withinTime(reached, `the state ${state}`);
  }

  async repeat({ count, variable, steps }) {
    const times = this.#variables.fill(count);
    for (let number = 1; number <= times; number++) {
      this.#variables.set(variable, number);
      await this.#playAll(steps);
    }
  }

  #compare(patterns, values, anyOrder) {
    assert.ok(this.#variables.matchAll(patterns, values, anyOrder), `instead: ${JSON.stringify(values)}`);
  }

  #abort(name) {
    const abort = new AbortController();
    this.#aborts.set(name, abort);
    return abort.signal;
  }

  async #connected() {
    this.#client ??= await withinTime(this.#connecting, "the client");
    return this.#client;
  }
}

function assertError(failure, { error, retry_after_ms }) {
  assert.deepEqual([failure?.code, failure?.retryAfterMs], [error, retry_after_ms], failure?.message);
}

async function withinTime(promise, what) {
  const timeout = new AbortController();
  const late = sleep(HANG_LIMIT_MS, undefined, { signal: timeout.signal }).then(() => assert.fail(`${what} did not come in time`));
  late.catch(() => {}); // it is aborted
  try {
    return await Promise.race([promise, late]);
  } finally {
    timeout.abort();
  }
}

// Node's WebSocket, as that of browsers, does not show the status of a refused handshake.
const transcripts = clientTranscripts().filter(({ needs = [] }) => !needs.includes("http_status"));

describe("the npm package", { concurrency: true }, () => {
  for (const transcript of transcripts) {
    test(transcript.name.replaceAll("_", " "), () => new TestRun().play(transcript));
  }
});

test("there are enough transcripts", () => assert.ok(transcripts.length >= 40));
