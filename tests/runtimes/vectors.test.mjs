// The golden vectors, decoded and encoded by the client that was written from protocol/SPEC.md
// alone.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { decode, encode, Fault, open, Undecodable } from "./spec-client.mjs";

const vectors = (name) =>
  JSON.parse(readFileSync(new URL(`../../protocol/vectors/${name}.json`, import.meta.url), "utf8"));
const fromHex = (digits) => Uint8Array.from(Buffer.from(digits, "hex"));
const toHex = (bytes) => Buffer.from(bytes).toString("hex");

for (const file of ["client", "server", "frames"]) {
  const all = vectors(file);
  assert.notEqual(all.length, 0);
  for (const { name, direction, json, binary } of all) {
    test(`golden, ${file}: ${name}`, () => {
      const fromJson = decode(direction, "json", json);
      assert.deepEqual(decode(direction, "bin", fromHex(binary)), fromJson);
      assert.equal(encode(direction, "json", fromJson), json);
      assert.equal(toHex(encode(direction, "bin", fromJson)), binary);
      assert.equal(fromJson.length > 1, file === "frames");
    });
  }
}

/** Vectors that JSON.parse cannot tell from valid ones. */
const repeatedKeys = new Set([
  "an id given twice",
  "an unknown key twice",
  "an unknown key twice, once with an escape",
  "a key twice in an operation",
  "an id twice, and the second is the same",
  "another key twice beside the id",
  "a number with an exponent",
  "a negative zero",
  "a whole number with a fraction",
]);

for (const { name, direction, encoding, frame, then } of vectors("refused")) {
  test(`rejected, from the ${direction}, ${encoding}: ${name}`, () => {
    const read = () =>
      encoding === "json" ? decode(direction, "json", frame) : decode(direction, "bin", fromHex(frame));
    if (encoding === "json" && repeatedKeys.has(name)) {
      // JSON.parse silently keeps the last of two equal keys, and takes any number. The server must reject them.
      assert.equal(read().length, 1);
    } else if (then === "reply LIMIT" && name.endsWith("too many")) {
      // The bounds of requests are the server's. This decoder has none.
      assert.equal(read().length, 1);
    } else if (then === "ignore") {
      assert.deepEqual(read(), []);
    } else if (then === "close 4400") {
      assert.throws(read, (error) => !(error instanceof Undecodable));
    } else {
      assert.ok(["reply ERR", "reply LIMIT", "fail PROTOCOL"].includes(then), then);
      assert.throws(read, (error) => error instanceof Undecodable && error.id === 5);
    }
  });
}

for (const { name, direction, encoding, frame, json } of vectors("tolerated")) {
  test(`tolerated, from the ${direction}, ${encoding}: ${name}`, () => {
    const read = encoding === "json" ? decode(direction, "json", frame) : decode(direction, "bin", fromHex(frame));
    assert.deepEqual(read, decode(direction, "json", json));
  });
}

// The client, with a server whose messages each test scripts.

class ScriptedSocket extends EventTarget {
  static last;
  sent = [];
  constructor(url, protocols) {
    super();
    Object.assign(this, { url, protocols });
    ScriptedSocket.last = this;
  }
  send(frame) {
    this.sent.push(frame);
  }
  close(code, reason = "") {
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason }));
  }
  serverSends(encoding, ...values) {
    const frame = encode("server", encoding, values);
    this.receive(encoding === "json" ? frame : frame.buffer);
  }
  receive(data) {
    this.dispatchEvent(Object.assign(new Event("message"), { data }));
  }
}

const welcome = {
  server: "test",
  features: [],
  max_in_flight: 256,
  max_frame_bytes: 4194304,
  heartbeat_ms: 15000,
  identity: null,
};

for (const encoding of ["json", "bin"]) {
  const connect = async () => {
    const opening = open("ws://test/v1/ws", ScriptedSocket, { encoding });
    const server = ScriptedSocket.last;
    server.dispatchEvent(new Event("open"));
    server.serverSends(encoding, { welcome });
    return { client: await opening, server };
  };

  test(`client, ${encoding}: replies in any order find their requests`, async () => {
    const { client, server } = await connect();
    assert.deepEqual(server.protocols, [`streamgate.v1.${encoding}`]);
    assert.deepEqual(client.welcome, welcome);
    const first = client.request({ ack: { stream: "s", group: "g", ids: [] } });
    const second = client.request({ read_latest: { stream: "s", count: 1 } });
    const third = client.request({ add: { stream: "s", fields: [["f", "v"]] } });
    const pong = client.ping(9);
    const entries = { entries: [["1-1", [["f", "v"]]]], last_id: null, more: false };
    server.serverSends(
      encoding,
      {
        reply: {
          id: 3,
          outcome: { error: { code: "OOM", message: "full", retry: "later", retry_after_ms: null, entry: null } },
        },
      },
      { reply: { id: 99, outcome: { ok: { done: {} } } } }, // unknown id: ignored
      { reply: { id: 2, outcome: { ok: { entries } } } },
      { pong: { nonce: 9 } },
      { reply: { id: 1, outcome: { ok: { acknowledged: { count: 0 } } } } },
    );
    assert.deepEqual(await first, { acknowledged: { count: 0 } });
    assert.deepEqual(await second, { entries });
    await assert.rejects(third, (error) => error instanceof Fault && error.code === "OOM" && error.retry === "later");
    await pong;
    const sent = server.sent.flatMap((frame) => decode("client", encoding, frame));
    assert.deepEqual(sent.map((message) => Object.keys(message)[0]), ["hello", "request", "request", "request", "ping"]);
    assert.deepEqual(await client.close(), { code: 1000, reason: "" });
  });

  test(`client, ${encoding}: a close rejects everything in flight`, async () => {
    const { client, server } = await connect();
    const lost = client.request({ read: { stream: "s", last_id: "$", count: 0, block_ms: 0 } });
    server.close(1012, "restart");
    await assert.rejects(lost, /1012 restart/);
    assert.deepEqual(await client.closed, { code: 1012, reason: "restart" });
  });

  test(`client, ${encoding}: an invalid frame closes with 4400, a wrong frame type with 4405`, async () => {
    const bad = await connect();
    bad.server.receive(encoding === "json" ? "garbage" : Uint8Array.of(255).buffer);
    assert.equal((await bad.client.closed).code, 4400);
    const wrong = await connect();
    wrong.server.receive(encoding === "json" ? new ArrayBuffer(0) : "");
    assert.equal((await wrong.client.closed).code, 4405);
  });
}
