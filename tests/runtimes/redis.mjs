// A real Redis, for the tests in JavaScript.
//
// STREAMGATE_REDIS_8   the server   (default target/tools/redis-8.2/redis-server)

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createConnection, createServer } from "node:net";
import { createInterface } from "node:readline";

import { fromTarget } from "./proxy.mjs";

const binary = fromTarget("STREAMGATE_REDIS_8", "tools/redis-8.2/redis-server");
const READY = "Ready to accept connections";

/** A running server without persistence, on a free port of loopback, which it keeps across restarts. */
export class Redis {
  url;
  #child;
  #port;
  #settings;

  /** @param extra further settings, such as `"--stream-node-max-entries", "1"` */
  static async start(...extra) {
    const redis = new Redis();
    const port = await freePort();
    redis.#port = port;
    redis.#settings = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", ...extra];
    redis.url = `redis://127.0.0.1:${port}`;
    await redis.start();
    return redis;
  }

  async start() {
    const child = spawn(binary, this.#settings, { stdio: ["ignore", "pipe", "inherit"] });
    this.#child = child;
    await Promise.race([
      ready(child),
      once(child, "exit").then(([status]) => assert.fail(`${binary} ended with status ${status} before it was ready`)),
    ]);
  }

  /** Sends an inline command, without quotes, and returns the first line of the answer. */
  async command(line) {
    const socket = createConnection(this.#port, "127.0.0.1");
    socket.write(`${line}\r\n`);
    const [answer] = await once(createInterface({ input: socket }), "line");
    socket.destroy();
    return answer;
  }

  /** Kills it, like a crash. */
  kill() {
    return this.#end("SIGKILL");
  }

  stop() {
    return this.#end("SIGTERM");
  }

  async #end(signal) {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill(signal);
    await ended;
  }
}

function ready(child) {
  return new Promise((resolve) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line.includes(READY)) resolve();
    });
  });
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
