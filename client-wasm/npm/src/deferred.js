/** A promise, and what settles it. */
export function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  // Nobody may be waiting; a rejection is then of no interest.
  parts.promise.catch(() => {});
  return parts;
}

/** Where the symbol is missing, the one that tools put in its place. */
export const asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");
