// Small pieces for every file: a promise with its resolvers, and the name of async disposal.

/** A promise with its `resolve` and `reject`. */
export function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  // If nobody waits for it, a rejection is no error.
  parts.promise.catch(() => {});
  return parts;
}

/** Where the runtime lacks the symbol, the one that transpilers use. */
export const asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");
