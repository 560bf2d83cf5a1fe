// A TCP relay on loopback that makes connections half-open, for the tests in JavaScript.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** A relay to a server's port, which can change. */
export class Relay {
  /** Whether it refuses connections. */
  refuses = false;
  #port;
  #server;
  #connections = new Set();

  static async start(port) {
    const relay = new Relay();
    relay.#port = port;
    relay.#server = createServer((client) => relay.#accept(client)).listen(0, "127.0.0.1");
    await once(relay.#server, "listening");
    return relay;
  }

  get webSocketUrl() {
    return `ws://127.0.0.1:${this.#server.address().port}/v1/ws`;
  }

  /** Leads future connections to another port. */
  leadTo(port) {
    this.#port = port;
  }

  /** Ends the clients' sockets. Those to the server stay open: it hears nothing more, and what it
   * sends is lost. */
  async makeHalfOpen() {
    const ended = [];
    for (const { client, server } of this.#connections) {
      client.unpipe(server);
      server.unpipe(client);
      server.resume();
      client.resume();
      ended.push(once(client, "close"));
      client.destroy();
    }
    await Promise.all(ended);
  }

  stop() {
    this.#server.close();
    for (const { client, server } of this.#connections) {
      client.destroy();
      server.destroy();
    }
  }

  #accept(client) {
    if (this.refuses) return client.destroy();
    const server = connect(this.#port, "127.0.0.1");
    const connection = { client, server };
    this.#connections.add(connection);
    // A socket that breaks also closes.
    client.on("error", () => {});
    server.on("error", () => {});
    server.on("close", () => {
      this.#connections.delete(connection);
      client.destroy();
    });
    client.pipe(server);
    server.pipe(client);
  }
}
