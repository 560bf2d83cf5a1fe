// What tails and consumers share: a queue of pushed items, and credit as they are taken.

import { asyncDispose, deferred } from "./deferred.js";
import { Gap, GapError } from "./gap.js";
import { Reader } from "./reader.js";

/** Makes a batch of an item. By their numbers in SPEC.md. */
const ITEMS = [
  ({ entries, optional, text }, make) => {
    const list = entries(make);
    return { entries: list, position: optional(text) ?? list.at(-1).id };
  },
  ({ text, optional }) => {
    const [after, first, position, reason] = [text(), optional(text), text(), text()];
    return { entries: [], gap: new Gap(after, first, reason, position), position };
  },
  ({ text, number }) => {
    const id = text();
    return { entries: [], skipped: { id, bytes: number(), reason: text() }, position: id };
  },
];

/**
 * A subscription. It buffers the items that were not taken yet; the module bounds them by the
 * credit that it grants. Iterators of one subscription share its items.
 */
export class Subscription {
  /** As the module wrote them; made into entries when they are taken. */
  #items = [];
  /** The batch whose entries are being taken one by one. */
  #current;
  #position;
  #isOver = false;
  /** `[error]`, thrown once, after the items. */
  #failure;
  /** Resolves when there is an item to take, or when no further item will come. */
  #arrival;
  /** Undefined once the module need not hear of the subscription any more. */
  #control;
  #options;
  #stopListening;

  /**
   * @param subscribe takes `push`, `resolve` and `reject`, which the client calls during a pump, and returns
   *   `consumed` and `cancel`, which must not be called from those
   * @param options `make` makes an entry, `from` is the initial position; `isConsumer`
   */
  constructor(subscribe, { signal, ...options }) {
    this.#options = options;
    this.#position = options.from;
    const abort = () => {
      this.#end();
      this.#failure = [signal.reason];
    };
    this.#stopListening = () => signal?.removeEventListener("abort", abort);
    if (signal?.aborted) return void abort();
    this.#control = subscribe({
      push: (item) => {
        this.#items.push(item);
        this.#notify();
      },
      resolve: () => {
        // What a consumer was not shown stays pending: its owner closes the client.
        if (options.isConsumer) this.#drop();
        this.#finish();
      },
      reject: (error) => {
        this.#failure = [error];
        this.#control = undefined;
        this.#finish();
      },
    });
    if (!this.#isOver) signal?.addEventListener("abort", abort);
  }

  get position() {
    return this.#position;
  }

  [Symbol.asyncIterator]() {
    return this.#iterator(() => this.#entry());
  }

  batches() {
    return this.#iterator(() => this.#batch());
  }

  async [asyncDispose]() {
    this.#end();
  }

  /** Iterates over what `take` returns. If it throws, the subscription ends. */
  #iterator(take) {
    const next = async () => {
      for (;;) {
        try {
          const value = take();
          if (value) return { done: false, value };
        } catch (error) {
          this.#end();
          throw error;
        }
        if (this.#isOver) {
          const failure = this.#failure;
          this.#end();
          if (failure) throw failure[0];
          return { done: true, value: undefined };
        }
        await (this.#arrival ??= deferred()).promise;
      }
    };
    let last = Promise.resolve();
    return {
      // One after the other: a call made while an item arrives would overtake those that wait.
      next: () => (last = last.then(next, next)),
      return: async (value) => {
        this.#end();
        return { done: true, value };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  #entry() {
    while (!this.#current?.entries.length) {
      this.#current = this.#take();
      if (!this.#current) return;
      const { entries, gap, skipped, position } = this.#current;
      if (!entries.length) this.#position = position;
      if (gap) {
        if (!this.#options.onGap) throw new GapError(gap);
        this.#options.onGap(gap);
      }
      if (skipped) this.#options.onSkipped?.(skipped);
    }
    const { entries, position } = this.#current;
    const entry = entries.shift();
    this.#position = entries.length ? entry.id : position;
    return entry;
  }

  #batch() {
    const batch = this.#current?.entries.length ? this.#current : this.#take();
    this.#current = undefined;
    if (batch) this.#position = batch.position;
    return batch;
  }

  /** Takes the next item as a batch. It counts as consumed at once, so that more is on its way. */
  #take() {
    if (!this.#items.length) return;
    const { entries, bytes, kind, record } = this.#items.shift();
    this.#control?.consumed(entries, bytes);
    return ITEMS[kind](new Reader(record), this.#options.make);
  }

  /** Ends it here and at the server. A client that closes waits for the end of a consumer's loop. */
  #end() {
    this.#drop();
    this.#failure = undefined;
    this.#stopListening();
    this.#control?.cancel();
    this.#control = undefined;
    this.#finish();
  }

  /** Drops the items that the loop has not taken. */
  #drop() {
    this.#items = [];
    this.#current = undefined;
  }

  /** The signal still counts until the buffered items are taken. */
  #finish() {
    this.#isOver = true;
    this.#notify();
  }

  #notify() {
    this.#arrival?.resolve();
    this.#arrival = undefined;
  }
}

/** A stream's entries, as they are added. */
export class Tail extends Subscription {}
