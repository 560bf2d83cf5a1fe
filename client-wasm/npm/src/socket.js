// The runtime's WebSocket. The workarounds:
//
// - The socket of Node.js 20 fires `error` without `close` if the server refuses it.
// - Deno reports the close code 0 for a broken connection.
// - npm's `ws` throws an error that nobody listens for. So listeners are replaced, not removed.

/** The close code of a connection that ended without one. */
export const ABNORMAL = 1006;

const SUBPROTOCOL = "streamgate.v1.bin";

const ignore = () => {};

/** One socket, which calls `opened`, `received`, and last and once `closed`, unless it is abandoned. */
export class Socket {
  #socket;

  constructor(WebSocket, url, { opened, received, closed }) {
    const end = (code, reason = "") => {
      if (!this.#release()) return;
      closed(code || ABNORMAL, reason);
    };
    try {
      const socket = (this.#socket = new WebSocket(url, SUBPROTOCOL));
      socket.binaryType = "arraybuffer";
      socket.onopen = () => opened(socket.protocol);
      socket.onmessage = ({ data }) => received(data);
      socket.onclose = ({ code, reason }) => end(code, reason);
      socket.onerror = () => setTimeout(end, 0);
    } catch (error) {
      this.#socket ??= {};
      queueMicrotask(() => end(0, error.message));
    }
  }

  /** Whether it takes frames, or will once it is open. */
  get canSend() {
    return !(this.#socket?.readyState > 1);
  }

  /** Calls a method of the socket. If it fails, the socket's close follows. */
  call(method, ...values) {
    try {
      this.#socket[method](...values);
    } catch {}
  }

  /** Closes the socket, and reports nothing more. */
  abandon() {
    const socket = this.#release();
    try {
      socket.close();
    } catch {}
  }

  /** Returns the socket, once, and lets go of it: it holds no more of this client, nor this of it. */
  #release() {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket) socket.onopen = socket.onmessage = socket.onclose = socket.onerror = ignore;
    return socket;
  }
}
