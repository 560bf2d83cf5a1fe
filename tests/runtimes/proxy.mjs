// The real proxy, for the tests in JavaScript.
//
// STREAMGATE_BIN   the proxy   (default target/debug/streamgate)

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";

export const workspace = path.resolve(import.meta.dirname, "../..");

/** A path from the environment, or its default in the target folder. */
export function fromTarget(name, folder) {
  return path.resolve(process.env[name] ?? path.join(workspace, "target", folder));
}

export const binary = fromTarget("STREAMGATE_BIN", "debug/streamgate");

/** A running server on a free port, which it keeps across restarts. */
export class Proxy {
  #child;
  #port = 0;
  #adminUrl;

  #arguments;

  /** @param extra further arguments, such as `"--redis", url` */
  static async start(...extra) {
    const proxy = new Proxy();
    proxy.#arguments = extra;
    await proxy.start();
    return proxy;
  }

  get port() {
    return this.#port;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}`;
  }

  get webSocketUrl() {
    return `ws://127.0.0.1:${this.#port}/v1/ws`;
  }

  /** Returns the metrics by their names with labels. Needs `--admin-listen`. */
  async metrics() {
    const text = await (await fetch(`${this.#adminUrl}/metrics`)).text();
    const samples = text.split("\n").filter((line) => line && !line.startsWith("#"));
    return new Map(samples.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
  }

  async start() {
    const listen = ["serve", "--listen", `127.0.0.1:${this.#port}`];
    const child = spawn(binary, [...listen, ...this.#arguments], { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    createInterface({ input: child.stderr }).on("line", (line) => {
      console.error(line);
      this.#adminUrl = line.match(/admin listener on (http:\S+)/)?.[1] ?? this.#adminUrl;
    });
    const line = await Promise.race([
      once(createInterface({ input: child.stdout }), "line").then(([line]) => line),
      once(child, "exit").then(([status]) => assert.fail(`${binary} ended with status ${status} before it was ready`)),
    ]);
    const [, port] = line.match(/^streamgate listening on https?:\/\/127\.0\.0\.1:(\d+)/) ?? assert.fail(`unexpected line: ${line}`);
    this.#port = Number(port);
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
