import { asyncDispose, deferred } from "./deferred.js";
import { entriesFrom } from "./entry.js";
import { Gap, GapError } from "./gap.js";

/**
 * Entries that are pushed. What was not taken yet waits here; the module bounds it by the credit it
 * grants. Iterators share it: what one has taken, no other gets.
 */
export class Subscription {
  /** As the module told them, made into entries when they are taken. */
  #items = [];
  /** The batch whose entries are being taken one by one. */
  #hand;
  #position;
  #over = false;
  /** `[error]`, thrown once, behind the items. */
  #failure;
  /** Settled when there is something to take, or nothing more will come. */
  #news;
  #control;
  #options;
  #stopListening;

  /**
   * @param subscribe is given `push` and `reject`, which the module calls during a pump, and gives
   *   `taken` and `cancel`, which must not be called from those
   * @param options `make` makes an entry, `from` is where it stands
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
      push: (...item) => {
        this.#items.push(item);
        this.#tell();
      },
      reject: (error) => {
        this.#failure = [error];
        this.#finish();
      },
    });
    if (!this.#over) signal?.addEventListener("abort", abort);
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

  /** Gives what `take` gives, as soon as it gives something. Once it throws, all is over. */
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
        if (this.#failure) {
          const [error] = this.#failure;
          this.#end();
          throw error;
        }
        if (this.#over) return { done: true, value: undefined };
        await (this.#news ??= deferred()).promise;
      }
    };
    let last = Promise.resolve();
    return {
      // One behind the other, or one that is asked as something comes would overtake those that wait.
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
    while (!this.#hand?.entries.length) {
      this.#hand = this.#take();
      if (!this.#hand) return;
      const { entries, gap, position } = this.#hand;
      if (!entries.length) this.#position = position;
      if (gap) {
        if (!this.#options.onGap) throw new GapError(gap);
        this.#options.onGap(gap);
      }
    }
    const { entries, position } = this.#hand;
    const entry = entries.shift();
    this.#position = entries.length ? entry.id : position;
    return entry;
  }

  #batch() {
    const batch = this.#hand?.entries.length ? this.#hand : this.#take();
    this.#hand = undefined;
    if (batch) this.#position = batch.position;
    return batch;
  }

  /** The next item as a batch. It counts as taken, so that more is on its way meanwhile. */
  #take() {
    if (!this.#items.length) return;
    const [kind, a, b, c] = this.#items.shift();
    if (kind === 5) {
      const entries = entriesFrom(a, this.#options.make);
      this.#control.taken(entries.length, c);
      return { entries, position: b ?? entries.at(-1).id };
    }
    this.#control.taken(0, 0);
    return { entries: [], gap: new Gap(a, b, kind === 7, c), position: c };
  }

  /** Ends it here and at the server. */
  #end() {
    this.#items = [];
    this.#hand = this.#failure = undefined;
    this.#stopListening();
    if (this.#over) return;
    this.#control?.cancel();
    this.#finish();
  }

  /** The signal counts until what was pushed is taken too. */
  #finish() {
    this.#over = true;
    this.#tell();
  }

  #tell() {
    this.#news?.resolve();
    this.#news = undefined;
  }
}

/** A stream's entries as they come. */
export class Tail extends Subscription {}
