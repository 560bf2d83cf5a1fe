// A fake of the npm package's wasm module: it records what JavaScript calls, and its output is what
// a test scripts. See client-wasm/src/npm.rs.

import path from "node:path";
import { pathToFileURL } from "node:url";

import { decode, encode } from "./spec-client.mjs";

/** The sources of the package, whose parts are tested one by one. */
export const sources = path.join(import.meta.dirname, "../../client-wasm/npm/src");
export const load = (file) => import(pathToFileURL(path.join(sources, file)));

const { CONNECT, ENTER_STATE, FINISH, PUSH } = await load("actions.js");

/** Where the input is, after the output. */
const INPUT = 2 ** 16;

/** The numbers of messages in SPEC.md. */
const REQUEST = 1;
const SUBSCRIBE = 3;

/** A fake of one instance of the module. */
export class FakeModule {
  #calls = [];
  #memory = new WebAssembly.Memory({ initial: 16 });
  #inputBytes = 0;
  #output = [CONNECT];
  #socket;

  /** @param state the state after the first call: see `enterState` */
  constructor(...state) {
    this.enterState(...state);
  }

  /** The constructor of the client's sockets. What a socket receives makes the client pump. */
  get WebSocket() {
    const module = this;
    return class {
      constructor() {
        module.#socket = this;
      }
      close() {}
    };
  }

  /** Stands for the exports of the instance. */
  get exports() {
    const ignore = () => {};
    return {
      memory: this.#memory,
      input: (length) => ((this.#inputBytes = length), INPUT),
      open: ignore,
      received: ignore,
      request: (id) => {
        const [{ request }] = this.#decode(REQUEST, id, []);
        this.#calls.push(["request", id, request.operation]);
      },
      subscribe: (id) => {
        const [{ subscribe }] = this.#decode(SUBSCRIBE, id, [2, 0, 0]);
        this.#calls.push(["subscribe", id, subscribe.subscription]);
      },
      consumed: (id, entries, bytes) => void this.#calls.push(["consumed", id, entries, bytes]),
      cancel: (id) => void this.#calls.push(["cancel", id]),
      pump: () => {
        new Uint8Array(this.#memory.buffer).set(this.#output);
        return -1;
      },
      output: () => 0,
      output_length: () => this.#output.splice(0).length,
    };
  }

  /** The calls of requests and subscriptions since the last use. */
  get newCalls() {
    return this.#calls.splice(0);
  }

  /** Reports the end of a request with a reply, or the failure of a request or a subscription. */
  finish(id, outcome) {
    this.#emitContent(FINISH, { reply: { id, outcome } });
  }

  fail(id, code, message, retry) {
    const error = { code, message, retry, retry_after_ms: null, entry: null, last_number: null };
    this.finish(id, { error });
  }

  /** Reports an item of a subscription, with its cost. */
  push(id, item, entries, bytes) {
    this.#emitContent(PUSH, { push: { id, item } }, entries, bytes);
  }

  /** Reports a state: its name, the close code, the reason, and the code of an error. */
  enterState(state, code = 0, reason, error) {
    this.#emit(ENTER_STATE, ...text(state), ...uint(code), ...optional(reason), ...optional(error));
  }

  /** Emits an id and the content of a message, which follow its number and its length. */
  #emitContent(action, message, ...cost) {
    const bytes = encode("server", "bin", [message]);
    const start = afterUint(bytes, 1);
    const end = afterUint(bytes, start);
    this.#emit(action, ...bytes.subarray(start, end), ...cost.flatMap(uint), ...bytes.subarray(end));
  }

  #emit(...bytes) {
    this.#output.push(...bytes);
    this.#socket?.onmessage({ data: "" });
  }

  /** Decodes the input as the content of a message, between an id and what follows. */
  #decode(number, id, after) {
    const input = new Uint8Array(this.#memory.buffer, INPUT, this.#inputBytes);
    const content = [...uint(id), ...input, ...after];
    return [...decode("client", "bin", Uint8Array.from([number, ...uint(content.length), ...content]))];
  }
}

function uint(value) {
  return value < 128 ? [value] : [(value % 128) | 128, ...uint(Math.floor(value / 128))];
}

function text(value) {
  const bytes = new TextEncoder().encode(value);
  return [...uint(bytes.length), ...bytes];
}

function optional(value) {
  return value === undefined ? [0] : [1, ...text(value)];
}

function afterUint(bytes, at) {
  while (bytes[at++] > 127);
  return at;
}
