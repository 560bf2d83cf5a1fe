// `StreamgateError`, and what its code says about retrying.

/** The failure of a request. Compare `code`, never `message`. */
export class StreamgateError extends Error {
  /**
   * @param {string} code such as `NOGROUP`
   * @param {string} message for people
   * @param {"never" | "later" | "unknown"} retry whether the same request may be made again
   * @param {number} [retryAfterMs] the shortest pause before that
   */
  constructor(code, message, retry, retryAfterMs) {
    super(`${code} ${message}`);
    this.name = "StreamgateError";
    this.code = code;
    this.retry = retry;
    this.retryAfterMs = retryAfterMs;
  }
}
