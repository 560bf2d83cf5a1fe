// A gap in a tail, and the error that ends a loop which does not expect one.

import { StreamgateError } from "./errors.js";

/** Entries are missing, or may be. */
export class Gap {
  constructor(after, first, reason, position) {
    this.after = after;
    this.first = first;
    this.reason = reason;
    this.position = position;
  }
}

/** A loop met a gap, and there was no `onGap`. */
export class GapError extends StreamgateError {
  constructor(gap) {
    super("GAP", `entries after ${gap.after} are missing, or may be`, "never");
    this.name = "GapError";
    this.gap = gap;
  }
}
