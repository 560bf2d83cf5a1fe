// How many sockets are still held after clients were closed and attempts were refused, in any runtime.

/** Wraps a constructor of WebSockets: `held()` counts its sockets that were not collected. */
export function counting(WebSocket) {
  const sockets = [];
  class Counted extends WebSocket {
    constructor(...args) {
      super(...args);
      sockets.push(new WeakRef(this));
    }
  }
  return {
    WebSocket: Counted,
    get opened() {
      return sockets.length;
    },
    held: () => sockets.filter((socket) => socket.deref()).length,
  };
}

/** Opens and closes as many clients, one after the other. */
export async function openAndClose(connect, url, options, times) {
  for (let i = 0; i < times; i++) await (await connect(url, options)).close();
}

/** Tries to connect as many times to a server that is not there. */
export async function beRefused(connect, url, options, times) {
  for (let i = 0; i < times; i++) {
    const refused = await connect(url, options).then(
      () => undefined,
      (error) => error,
    );
    if (refused?.code !== "DISCONNECTED") throw refused ?? new Error("it was not refused");
  }
}

/** Collects garbage until a count is at most `most`. Returns the last count. */
export async function collected(gc, count, most, hangMs) {
  const until = Date.now() + hangMs;
  for (;;) {
    // References that were read in a turn live until its end.
    await new Promise((resolve) => setTimeout(resolve, 0));
    await gc();
    if (count() <= most || Date.now() > until) return count();
  }
}

/** What a cycle may leave in the heap on average, as noise. A client that is held has some kB. */
const MAX_BYTES_PER_CYCLE = 1_024;

/** Throws if cycles leave something in the heap. `usedBytes` collects garbage first. */
export async function heapIsFlat(usedBytes, times, cycles) {
  await cycles(times);
  const before = await usedBytes();
  await cycles(times);
  const growth = ((await usedBytes()) - before) / times;
  if (growth > MAX_BYTES_PER_CYCLE) throw new Error(`a cycle leaves ${growth} bytes in the heap`);
}
