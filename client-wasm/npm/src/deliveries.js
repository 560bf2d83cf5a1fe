// A consumer's deliveries: an async iterable of entries that can be acknowledged.

import { Entry } from "./entry.js";
import { Subscription } from "./subscription.js";

/** An entry that was delivered to a consumer. */
export class Delivery extends Entry {
  #ack;

  constructor(ack, ...entry) {
    super(...entry);
    this.#ack = ack;
  }

  ack(options) {
    return this.#ack(this.id, options);
  }
}

/** The entries that a consumer receives. */
export class Deliveries extends Subscription {
  #ack;

  constructor(subscribe, ack, options) {
    super(subscribe, { make: (...entry) => new Delivery(ack, ...entry), isConsumer: true, ...options });
    this.#ack = ack;
  }

  batches() {
    const batches = super.batches();
    const { next } = batches;
    batches.next = async () => {
      const { done, value } = await next();
      return done ? { done, value } : { done, value: new DeliveryBatch(value, this.#ack) };
    };
    return batches;
  }
}

/** Entries that were delivered together. */
class DeliveryBatch {
  #ack;

  constructor({ entries, skipped }, ack) {
    this.entries = entries;
    if (skipped) this.skipped = skipped;
    this.#ack = ack;
  }

  ack(options) {
    return this.#ack(this.entries.map((entry) => entry.id), options);
  }
}
