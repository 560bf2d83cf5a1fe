/** Whether the request that failed may be made again. */
export type Retry =
  /** It would fail the same way. */
  | "never"
  /** Nothing was done; it may succeed later. */
  | "later"
  /** It may have been performed, or not. */
  | "unknown";

/**
 * The state of the connection. A client in the state `"reconnecting"` queues requests. In the state
 * `"degraded"` it has a connection, but the server's Redis is unavailable: most requests reject
 * with a `retry` of `"later"`; waits, tails and consumers continue once the state is `"open"`
 * again.
 */
export type ConnectionState = "connecting" | "open" | "degraded" | "reconnecting" | "closed";

/** A constructor with the interface of the web's `WebSocket`, such as that of npm's `ws`. */
export type WebSocketConstructor = new (url: string, protocols?: string | string[]) => any;

export interface OpenOptions {
  /** Replaces the global `WebSocket`, for runtimes that have none. */
  WebSocket?: WebSocketConstructor | undefined;
  /**
   * How long one attempt to connect may take, in milliseconds. More than 2 147 483 647, the longest
   * timer, counts as that. Default: 10 000.
   */
  connectTimeoutMs?: number | undefined;
  /**
   * Whether an add is stored exactly once even if the client has to send it again. It costs Redis
   * 1.2 to 1.8 times a plain add, the less the more adds are in flight. Without it, an `add` whose
   * reply is lost rejects with `UNKNOWN_OUTCOME`. Default: true.
   */
  exactlyOnce?: boolean | undefined;
  /**
   * The token with which the client authenticates: one for its life, or a function that returns
   * one. The client calls the function at each attempt to connect, before a token ends, and once
   * more if the server refuses a token; one call at a time, which may take a minute. It is sent over
   * `wss:` only, or to this machine.
   *
   * If the function rejects with an error whose `code` is `NOAUTH`, nobody is signed in: the client
   * closes. So it does if the function returns no string. After any other error it calls again later.
   */
  token?: string | ((request: TokenRequest) => string | Promise<string>) | undefined;
}

export interface ConnectOptions extends OpenOptions {
  /** Gives up connecting; `connect` rejects with the signal's reason. No effect after that. */
  signal?: AbortSignal | undefined;
  /**
   * Whether to go on if the first attempt to connect fails, as after a lost connection. Default:
   * false; `connect` rejects.
   */
  retry?: boolean | undefined;
}

export interface CloseOptions {
  /** How long to wait for requests and for consumers' loops, in milliseconds. Default: 5 000. */
  timeoutMs?: number | undefined;
}

/** Why the client needs a token. */
export interface TokenRequest {
  /** The token before this one was refused, or is about to end: return another one, not a cached one. */
  readonly force: boolean;
}

export interface CallOptions {
  /**
   * Cancels the request, at the server too, and rejects with the signal's reason. The server may
   * have performed it already.
   */
  signal?: AbortSignal | undefined;
}

export interface AddOptions extends CallOptions {
  /** Trims the stream to about this many entries, never to fewer. Default: no trimming. */
  maxlen?: number | undefined;
}

export interface ReadOptions extends CallOptions {
  /**
   * The maximum number of entries; 0 for as many as fit into a reply. Default: 1 000, and 100 for
   * `readGroup`.
   */
  count?: number | undefined;
  /** How long to wait for an entry, in milliseconds; 0 for no limit. Default: no wait. */
  blockMs?: number | undefined;
}

/**
 * A name or a value. Redis keeps bytes; a string stands for its UTF-8. A string with a lone
 * surrogate, which UTF-8 cannot encode, is a `TypeError`.
 */
export type Bytes = string | Uint8Array;

/** An entry, or another object that has its id, such as a {@link PendingEntry}; or the id itself. */
export type EntryRef = string | { readonly id: string };

/** The fields of a new entry. Pairs keep their order, and names may repeat. */
export type Fields =
  | Readonly<Record<string, Bytes>>
  | Iterable<readonly [name: Bytes, value: Bytes]>;

/** One entry of a stream. */
export class Entry {
  protected constructor();
  /** For example `1526919030474-55`: milliseconds, and a sequence number. */
  readonly id: string;
  /**
   * Names and values in the order in which they were added. Names may repeat. Bytes that are not
   * UTF-8 are U+FFFD. Empty for an entry that was deleted while it was pending for a consumer.
   */
  readonly fields: [name: string, value: string][];
  /** Returns the first value with this name. */
  get(name: string): string | undefined;
  /** Returns the bytes of the first value with this name. */
  getBytes(name: string): Uint8Array | undefined;
  /** Returns the fields as bytes, such as those whose names are not UTF-8. */
  toBytes(): [name: Uint8Array, value: Uint8Array][];
  /** Returns the fields as an object. If a name repeats, it has the last value. */
  toObject(): Record<string, string>;
}

export interface TailOptions {
  /**
   * Where the tail starts: with the oldest entry, with the first entry added from now on, after an
   * id, or with the last entries of the stream. Redis's `$` is not accepted; use `"now"`. Default:
   * `"now"`.
   */
  from?: "beginning" | "now" | (string & {}) | { last: number } | undefined;
  /** Ends the subscription, at the server too; iteration rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /**
   * Receives a gap before any entry after it. Without this function, a gap ends a loop over entries
   * with a {@link GapError}. It has no effect on {@link Tail.batches}.
   *
   * The function must be synchronous: if it throws, the loop ends, but a promise is not awaited. To
   * await something, loop over {@link Tail.batches}.
   */
  onGap?: ((gap: Gap) => void) | undefined;
  /**
   * Called with each entry that is too large to be delivered to this client. The loop goes on after
   * it.
   */
  onSkipped?: ((skipped: Skipped) => void) | undefined;
}

export interface PendingOptions extends CallOptions {
  /** The first id; a leading `(` excludes it. Default: `-`, the smallest. */
  start?: string | undefined;
  /** The last id; a leading `(` excludes it. Default: `+`, the greatest. */
  end?: string | undefined;
  /** The maximum number of entries, up to 10 000. Default: 10 000. */
  count?: number | undefined;
  /** Only entries that are pending for this consumer. */
  consumer?: Bytes | undefined;
  /** Only entries that were last delivered at least this many milliseconds ago. */
  minIdleMs?: number | undefined;
}

export interface ClaimOptions extends CallOptions {
  /** The first id. To continue, pass the cursor of the previous claim. Default: `0-0`. */
  start?: string | undefined;
  /** The maximum number of entries, from 1 to 10 000. Default: 100. */
  count?: number | undefined;
}

/** A summary of the pending entries of a group. */
export interface PendingSummary {
  /** How many entries are pending. */
  count: number;
  /** The smallest pending id, if there is any. */
  smallest: string | undefined;
  /** The greatest pending id, if there is any. */
  greatest: string | undefined;
  /** The consumers with pending entries, sorted by name. */
  consumers: PendingConsumer[];
}

/** A consumer with pending entries. */
export interface PendingConsumer {
  name: string;
  /** The name, if it is not UTF-8: pass it instead of `name`, which then has U+FFFD. */
  nameBytes?: Uint8Array;
  /** How many entries are pending for it. */
  pending: number;
}

/** A consumer of a group. */
export interface ConsumerInfo extends PendingConsumer {
  /** Milliseconds since it last read, claimed or was served. */
  idleMs: number;
}

/** An entry that was delivered to a consumer and not acknowledged. */
export interface PendingEntry {
  id: string;
  /** The consumer for which it is pending. */
  consumer: string;
  /** Its name, if that is not UTF-8: pass it instead of `consumer`, which then has U+FFFD. */
  consumerBytes?: Uint8Array;
  /** Milliseconds since it was last delivered. */
  idleMs: number;
  /** How many times it was delivered. */
  deliveries: number;
}

/** The result of a claim. */
export interface Claimed {
  /** Where to continue; `0-0` once the whole pending list was scanned. */
  cursor: string;
  /** The entries that the consumer now has. */
  entries: Entry[];
  /** Pending ids whose entries were deleted, as many as fit. They are no longer pending. */
  deleted: string[];
}

export interface ConsumeOptions {
  /**
   * The maximum number of entries in one batch. Leaving a loop may leave up to twice as many
   * entries pending, see {@link Deliveries}. Default: 64.
   */
  batch?: number | undefined;
  /**
   * Also reclaims entries of other consumers that have been pending for at least this many
   * milliseconds, such as those of a crashed consumer. Choose more than a worker ever needs for a
   * batch: entries of a slow worker are reclaimed too, though never by the loop that received them.
   * The group is scanned every quarter of this time. At least 1. Default: nothing is reclaimed.
   */
  claimAfterMs?: number | undefined;
  /**
   * Moves an entry to `deadLetter` instead of reclaiming it once it was delivered this many times.
   * Entries recovered after a lost connection are not counted once more. At least 1; requires
   * `deadLetter` and `claimAfterMs`.
   */
  maxDeliveries?: number | undefined;
  /**
   * The dead-letter stream; it must not be the group's own stream. An entry is added there and
   * acknowledged in one atomic step. After its own fields it has six that say why:
   * `dead-letter-reason`, `-stream`, `-group`, `-consumer`, `-id` and `-deliveries`. Requires
   * `maxDeliveries`.
   */
  deadLetter?: Bytes | undefined;
  /**
   * Creates the group, and the stream, if either does not exist: now, and whenever they are
   * deleted. The group receives the entries after this id: `0` for all, `$` for those added from
   * then on. Default: without the group the loop ends with `NOGROUP`.
   */
  createFrom?: string | undefined;
  /** Called with each entry that is too large to be delivered. It stays pending. */
  onSkipped?: ((skipped: Skipped) => void) | undefined;
  /** Ends the subscription, at the server too; iteration rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/**
 * Why entries are missing: `trimmed` before the tail could read them; `recreated`, because the
 * stream was deleted and another one follows from its beginning; `rolled_back`, because Redis lost
 * its newest entries in a failover, and the tail goes on after those that are left.
 */
export type GapReason = "trimmed" | "recreated" | "rolled_back";

/** An entry that is too large to be delivered to this client. */
export interface Skipped {
  id: string;
  /** The bytes of its id, names and values; 0 if the client does not know them. */
  bytes: number;
  /** Why it is skipped: `size`. */
  reason: string;
}

/** A gap in a tail: entries are missing, or may be. */
export class Gap {
  private constructor();
  /** The last id before the gap. */
  readonly after: string;
  /** The id of the first entry after the gap, if there is one yet. */
  readonly first: string | undefined;
  readonly reason: GapReason;
  /** The position after the gap, from which to resume. */
  readonly position: string;
}

/** Entries of a tail that arrived together. */
export interface TailBatch {
  /**
   * Oldest first. Empty with a gap or a skipped entry, and in the first batch of a tail that starts
   * at the end.
   */
  entries: Entry[];
  /** The gap, if there is one here. */
  gap?: Gap;
  /** The skipped entry, if there is one here. */
  skipped?: Skipped;
  /** The position after this batch, from which to resume. */
  position: string;
}

/**
 * The entries of a stream, in order, as they are added. A tail begins when it is created. It ends
 * when a loop over it is left, when the client is closed, with its signal, or with its first error,
 * with which the loop rejects: an error of the server, such as `WRONGTYPE`; `CLOSED` if the client is aborted;
 * `OVERLOADED` if too many gaps wait to be taken, or too many requests to be sent.
 *
 * A lost connection does not end a tail, nor does a server that loses its Redis: the tail continues
 * at its position. To continue with another tail, perhaps in another client, start it from
 * {@link position}.
 *
 * The number of buffered entries is bounded; the server waits for a slow loop. Loops over one tail
 * share its entries.
 */
export class Tail implements AsyncIterable<Entry> {
  private constructor();
  /**
   * The position from which to resume: after the last entry, batch or gap that was taken. Undefined
   * before the first one, unless `from` is an id.
   */
  readonly position: string | undefined;
  [Symbol.asyncIterator](): AsyncIterableIterator<Entry>;
  /** Iterates over batches, and over gaps. The first batch has the initial position. */
  batches(): AsyncIterableIterator<TailBatch>;
  /** Ends the subscription, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** An entry that was delivered to a consumer. It is pending until it is acknowledged. */
export class Delivery extends Entry {
  private constructor();
  /** Acknowledges it (`XACK`). Resolves with 0 if it was not pending any more, else with 1. */
  ack(options?: CallOptions): Promise<number>;
}

/** Entries that were delivered to a consumer together. */
export interface DeliveryBatch {
  /** Oldest first. Empty only with a skipped entry. */
  entries: Delivery[];
  /** The skipped entry, if there is one here. */
  skipped?: Skipped;
  /** Acknowledges all of the entries (`XACK`). Resolves with how many were pending. */
  ack(options?: CallOptions): Promise<number>;
}

/**
 * The entries of a group that a consumer receives, as they are added. It begins when it is created,
 * and ends as a {@link Tail} does. Entries that were not acknowledged stay pending. While the loop
 * processes one batch, one more is on its way.
 *
 * Leaving a loop, by `break`, an error or the signal, may leave entries pending that were delivered
 * but never yielded: the rest of its batch, and the next batch. With a `batch` of 1 that is one
 * entry at most.
 *
 * After a lost connection it continues, and first yields the entries whose delivery was lost. If
 * the client is aborted, it ends with `UNKNOWN_OUTCOME`; if the group does not exist, or is
 * destroyed, with
 * `NOGROUP`.
 */
export class Deliveries implements AsyncIterable<Delivery> {
  private constructor();
  [Symbol.asyncIterator](): AsyncIterableIterator<Delivery>;
  /** Iterates over batches. */
  batches(): AsyncIterableIterator<DeliveryBatch>;
  /** Ends the subscription, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Entries, and where to read next. */
export interface ReadResult extends Array<Entry> {
  /**
   * The `lastId` for the next `read`, so that no entry is missed in between. It is never `$`, but
   * the id that `$` stood for.
   */
  readonly lastId: string;
}

/** Reports a change of the connection's state. */
export class StateEvent extends Event {
  private constructor();
  readonly type: "state";
  readonly state: ConnectionState;
  /**
   * The WebSocket's close code if the state is `"closed"` or `"reconnecting"`. An error code, such
   * as
   * `"DISCONNECTED"` or `"LOADING"`, if it is `"degraded"`.
   */
  readonly code: number | string | undefined;
  /** The reason, for people. */
  readonly reason: string | undefined;
}

export interface ClientEventMap {
  state: StateEvent;
}

/**
 * A failure. Compare `code`, never `message`.
 *
 * An argument of a wrong type, or an unknown option, is a `TypeError` instead, and nothing is sent.
 * An aborted request rejects with its signal's reason.
 */
export class StreamgateError extends Error {
  protected constructor();
  readonly name: "StreamgateError" | "GapError";
  /**
   * A code of Redis (`NOGROUP`, `BUSYGROUP`, `WRONGTYPE`) or of streamgate (`LIMIT`, `TIMEOUT`,
   * `OVERLOADED`, `DISCONNECTED`, `UNKNOWN_OUTCOME`, `CLOSED`). `INTERNAL` is a bug in streamgate:
   * the WebAssembly module trapped, and the client is closed.
   */
  readonly code: string;
  readonly retry: Retry;
  /**
   * The shortest pause, in milliseconds, before the same request may succeed, if the server named
   * one: it does so with an `OVERLOADED` because requests come too fast. `undefined` otherwise.
   */
  readonly retryAfterMs: number | undefined;
}

/**
 * A loop over a tail's entries met a gap, and there was no `onGap`. The tail is over. To continue,
 * start another one from its position, which is after the gap.
 */
export class GapError extends StreamgateError {
  private constructor();
  readonly name: "GapError";
  readonly code: "GAP";
  readonly retry: "never";
  readonly gap: Gap;
}

/**
 * A client of a streamgate server, with one connection. Any number of requests may be in flight;
 * their replies arrive in any order.
 *
 * After a lost connection the client reconnects after a random pause, which grows with each attempt
 * that fails, and at once when the page or the network comes back. It sends unanswered requests
 * again: reads and waits, with the time they have left, and `ack`. A `readGroup` first returns the
 * entries that its lost reply delivered. Tails and consumers continue. An `add` is stored exactly
 * once. A
 * `createGroup` cannot be sent twice and rejects with `UNKNOWN_OUTCOME`. If there is no connection
 * for half a minute, requests reject: with `UNKNOWN_OUTCOME` if they may have been performed,
 * otherwise with
 * `DISCONNECTED`.
 *
 * The client does the same when the server loses its Redis, with pauses between attempts. A request
 * that is made meanwhile rejects with a `retry` of `"later"`, and so may a read that was on its way
 * to Redis.
 *
 * Every method's promise rejects with a {@link StreamgateError} if the request fails.
 */
export class Client extends EventTarget {
  private constructor();

  /** The state of the connection; the event `"state"` reports changes. */
  readonly state: ConnectionState;

  /**
   * Adds an entry (`XADD`).
   *
   * @returns the entry's id
   */
  add(stream: Bytes, fields: Fields, options?: AddOptions): Promise<string>;

  /** Returns the newest entries, newest first (`XREVRANGE`); none if the stream does not exist. */
  readLatest(stream: Bytes, count: number, options?: CallOptions): Promise<Entry[]>;

  /**
   * Returns the entries after an id, oldest first (`XREAD`). A wait that ends without an entry
   * returns none; it is no error.
   *
   * @param lastId the last id that is known: `0` for all entries, `$` for those added from now on
   */
  read(stream: Bytes, lastId: string, options?: ReadOptions): Promise<ReadResult>;

  /**
   * Creates a consumer group, and the stream if it does not exist (`XGROUP CREATE … MKSTREAM`).
   * Rejects with `BUSYGROUP` if the group exists.
   *
   * @param id the group receives the entries after it: `0` for all, `$` for those added from now on
   */
  createGroup(stream: Bytes, group: Bytes, id: string, options?: CallOptions): Promise<void>;

  /**
   * Returns entries that were not delivered to any consumer of the group yet (`XREADGROUP … >`).
   * Each is delivered to one consumer, and pending until it is acknowledged.
   */
  readGroup(stream: Bytes, group: Bytes, consumer: Bytes, options?: ReadOptions): Promise<Entry[]>;

  /**
   * Acknowledges entries, which are then no longer pending (`XACK`).
   *
   * @param ids one or several entries or ids
   * @returns how many of them were pending
   */
  ack(stream: Bytes, group: Bytes, ids: EntryRef | Iterable<EntryRef>, options?: CallOptions): Promise<number>;

  /** Returns the consumers of a group, sorted by name (`XINFO CONSUMERS`). */
  consumers(stream: Bytes, group: Bytes, options?: CallOptions): Promise<ConsumerInfo[]>;

  /** Returns how many entries of a group are pending, and for which consumers (`XPENDING`). */
  pending(stream: Bytes, group: Bytes, options?: CallOptions): Promise<PendingSummary>;

  /** Returns the pending entries of a group, in the order of their ids (`XPENDING` with a range). */
  pendingEntries(stream: Bytes, group: Bytes, options?: PendingOptions): Promise<PendingEntry[]>;

  /**
   * Claims pending entries of any consumer for this one (`XAUTOCLAIM`). It counts as a delivery.
   * One call scans at most ten times `count` entries, so a call that returns none need not be the
   * last.
   *
   * @param minIdleMs only entries that were last delivered at least this many milliseconds ago
   */
  claim(
    stream: Bytes,
    group: Bytes,
    consumer: Bytes,
    minIdleMs: number,
    options?: ClaimOptions,
  ): Promise<Claimed>;

  /**
   * Removes a consumer after handing its pending entries over to `newOwner`. No pending entry is
   * lost, even if the consumer receives more in the meantime.
   *
   * @returns how many entries were handed over
   */
  removeConsumer(
    stream: Bytes,
    group: Bytes,
    consumer: Bytes,
    newOwner: Bytes,
    options?: CallOptions,
  ): Promise<number>;

  /**
   * Follows a stream: yields its entries from the position in the options on, then new entries as
   * they are added. A missing stream counts as an empty one.
   *
   * @throws {TypeError} for arguments of a wrong type; other errors reject the iteration
   */
  tail(stream: Bytes, options?: TailOptions): Tail;

  /**
   * Receives entries of a group for a consumer, as they are added. Each is delivered to one
   * consumer, and pending until it is acknowledged.
   *
   * @throws {TypeError} for arguments of a wrong type; other errors reject the iteration
   */
  consume(stream: Bytes, group: Bytes, consumer: Bytes, options?: ConsumeOptions): Deliveries;

  /**
   * Closes the client once the requests that were made are done. Resolves when the connection has
   * ended.
   *
   * Further requests reject with `CLOSED`, but not acknowledgements, until the connection ends. A loop
   * over a tail ends normally, after the entries that have arrived. A loop over a consumer ends
   * normally after the entry, or the batch, that it was shown last: the others stay pending. While it
   * works on entries that are not acknowledged, the client stays open for it, within the time. Reads
   * that wait reject at once, as by {@link abort}, and so do requests that are not done in time. The
   * time of the first call counts.
   *
   * @throws {TypeError} for a wrong argument
   */
  close(options?: CloseOptions): Promise<void>;

  /**
   * Ends the client at once. Every request rejects, and every loop ends, with `CLOSED`. Requests that
   * were sent and change something, and consumers, end with `UNKNOWN_OUTCOME`: the server may have
   * performed them, or delivered entries that never arrived.
   */
  abort(): void;

  /** Closes the client, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;

  addEventListener<K extends keyof ClientEventMap>(
    type: K,
    listener: ((this: Client, event: ClientEventMap[K]) => void) | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;

  removeEventListener<K extends keyof ClientEventMap>(
    type: K,
    listener: ((this: Client, event: ClientEventMap[K]) => void) | null,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

/**
 * Returns a client at once, in the state `"connecting"`. It takes requests and subscriptions, which
 * wait for the connection, and goes on connecting until it succeeds, the client is closed, or the
 * server refuses it for good. The first call loads the wasm module; if that fails, the client
 * closes, and requests reject with `INTERNAL`.
 *
 * A request that has waited for half a minute rejects with `DISCONNECTED`.
 *
 * @param url for example `wss://example.com/v1/ws`; on a page it may be relative, such as `/v1/ws`
 * @throws {TypeError} for a wrong argument
 * @throws {StreamgateError} `CONFIG` if the URL is invalid
 */
export function open(url: string | URL, options?: OpenOptions): Client;

/**
 * Connects to a streamgate server. The first call loads the wasm module.
 *
 * @param url for example `wss://example.com/v1/ws`; on a page it may be relative, such as `/v1/ws`
 * @throws {TypeError} for a wrong argument
 * @throws {StreamgateError} `DISCONNECTED` if there is no connection and no `retry`; `CONFIG` if the
 * URL is invalid
 */
export function connect(url: string | URL, options?: ConnectOptions): Promise<Client>;
