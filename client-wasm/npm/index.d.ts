/** Whether the call that failed may be made again. */
export type Retry =
  /** It would fail again. */
  | "never"
  /** Nothing was done; it may succeed later. */
  | "later"
  /** It may have been done, or not. */
  | "unknown";

/**
 * Where the connection stands. A client that is reconnecting keeps calls for later. One that is degraded has a
 * connection, to a server whose Redis is away: calls are sent, and most of them reject with a `retry` of
 * `"later"`; what waits goes on waiting, and tails and consumers go on once the state is `"open"` again.
 */
export type ConnectionState = "connecting" | "open" | "degraded" | "reconnecting" | "closed";

/** A constructor that does as the web's `WebSocket` does, such as that of npm's `ws`. */
export type WebSocketConstructor = new (url: string, protocols?: string | string[]) => any;

export interface ConnectOptions {
  /** Gives up connecting, and rejects with the signal's reason. Of no effect later. */
  signal?: AbortSignal | undefined;
  /** Used in place of the global `WebSocket`, for runtimes that have none. */
  WebSocket?: WebSocketConstructor | undefined;
  /** Longest attempt to connect, in milliseconds. Default: 10 000. */
  connectTimeoutMs?: number | undefined;
  /**
   * Whether adds are done once, also if they have to be asked for again. It costs Redis about 1.7 times a
   * plain add where many are in flight. Without it an `add` whose answer is lost rejects with
   * `UNKNOWN_OUTCOME`. Default: true.
   */
  exactlyOnce?: boolean | undefined;
}

export interface CallOptions {
  /**
   * Gives up waiting, at the server too, and rejects with the signal's reason. What the call should
   * have changed may have been changed.
   */
  signal?: AbortSignal | undefined;
}

export interface AddOptions extends CallOptions {
  /** Trims the stream to about this many entries, never to fewer. Default: no trimming. */
  maxlen?: number | undefined;
}

export interface ReadOptions extends CallOptions {
  /** Most entries to return; 0 for no limit. Default: 0. */
  count?: number | undefined;
  /**
   * How long to wait for an entry if there is none, in milliseconds; 0 for as long as it takes.
   * Default: no wait.
   */
  blockMs?: number | undefined;
}

/** The fields of a new entry. Pairs keep their order, and may repeat a name. */
export type Fields =
  | Readonly<Record<string, string>>
  | Iterable<readonly [name: string, value: string]>;

/** One entry of a stream. */
export class Entry {
  protected constructor();
  /** Such as `1526919030474-55`: milliseconds, and a number within them. */
  readonly id: string;
  /**
   * Names and values in the order they were added. Names may repeat. Empty for an entry that was
   * deleted while a consumer had it pending.
   */
  readonly fields: [name: string, value: string][];
  /** The first value with this name. */
  get(name: string): string | undefined;
  /** The fields as an object; of a name that repeats, the last value. */
  toObject(): Record<string, string>;
}

export interface TailOptions {
  /**
   * Where it starts: with the oldest entry there is, with the first one added from now on, behind an
   * id, or with the last entries that are there. Default: `"now"`. Redis's `$` is none of them: use
   * `"now"`.
   */
  from?: "beginning" | "now" | (string & {}) | { last: number } | undefined;
  /** Ends it, at the server too; iteration then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /**
   * Is called when entries are, or may be, missing, before any entry behind the gap. Without it a loop
   * over entries ends with a {@link GapError}. Of no effect on {@link Tail.batches}.
   *
   * It must be synchronous: what it throws ends the loop, but a promise is not awaited, so entries may
   * come before it is settled. To await something, loop over {@link Tail.batches}.
   */
  onGap?: ((gap: Gap) => void) | undefined;
}

export interface PendingOptions extends CallOptions {
  /** From this id on; `(` in front leaves it out. Default: `-`, the smallest. */
  start?: string | undefined;
  /** Up to this id; `(` in front leaves it out. Default: `+`, the greatest. */
  end?: string | undefined;
  /** At most so many, and at most 10000, which is the default. */
  count?: number | undefined;
  /** Only those that this consumer holds. */
  consumer?: string | undefined;
  /** Only those that were last delivered so many milliseconds ago, or longer. */
  minIdleMs?: number | undefined;
}

export interface ClaimOptions extends CallOptions {
  /** From this id on. Default: `0-0`. To go on, the cursor of the claim before. */
  start?: string | undefined;
  /** At most so many, from 1 to 10000. Default: 100. */
  count?: number | undefined;
}

/** What is pending in a group, in short. */
export interface PendingSummary {
  count: number;
  /** The smallest id, if there is any. */
  smallest: string | undefined;
  /** The greatest id, if there is any. */
  greatest: string | undefined;
  /** Who holds how many, by name. */
  consumers: [name: string, count: number][];
}

/** An entry that was given to a consumer and not acknowledged. */
export interface PendingEntry {
  id: string;
  /** Who holds it. */
  consumer: string;
  /** Milliseconds since it was last delivered. */
  idleMs: number;
  /** How often it was delivered. */
  deliveries: number;
}

/** What a claim gave. */
export interface Claimed {
  /** Where to go on; `0-0` once all that is pending was looked at. */
  cursor: string;
  entries: Entry[];
  /** Ids that were pending although their entries were deleted. They are not pending any more. */
  deleted: string[];
}

export interface ConsumeOptions {
  /**
   * At most so many entries at once. Fewer than twice as many may be pending unseen when a loop is left,
   * see {@link Deliveries}. Default: 64.
   */
  batch?: number | undefined;
  /**
   * Also takes over entries that were last delivered so many milliseconds ago or longer, and are pending
   * since: what a consumer held that vanished. Choose more than a worker ever takes for a batch, for what a
   * slow one still works on is taken over from it too, though never by the loop that was given it. The group is
   * looked over every quarter of that time. At least 1. Default: nothing is taken over.
   */
  claimAfterMs?: number | undefined;
  /**
   * An entry that was delivered so often already and would be taken over goes to `deadLetter` instead. Looking
   * for what a lost connection took counts as a delivery of what its consumer holds, so leave room. At least 1;
   * wants that and `claimAfterMs`.
   */
  maxDeliveries?: number | undefined;
  /**
   * The stream that takes what was delivered too often: another one than the group's. An entry goes there in
   * one step with its acknowledgement, with its fields and behind them six that say why:
   * `dead-letter-reason`, `-stream`, `-group`, `-consumer`, `-id` and `-deliveries`. Wants `maxDeliveries`.
   */
  deadLetter?: string | undefined;
  /** Ends it, at the server too; iteration then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/**
 * Entries are missing, or may be: they were trimmed before the tail got to them, or the stream was
 * deleted and made anew.
 */
export class Gap {
  private constructor();
  /** The id the tail stood at. */
  readonly after: string;
  /** The first entry behind the gap, if there is one yet. */
  readonly first: string | undefined;
  /** The stream is another one than before; what follows is all of it. */
  readonly recreated: boolean;
  /** Where to resume behind the gap. */
  readonly position: string;
}

/** Entries of a tail that came together. */
export interface TailBatch {
  /** Oldest first. None with a gap, and in the first batch if the tail starts behind all there is. */
  entries: Entry[];
  /** Entries are, or may be, missing here. */
  gap?: Gap;
  /** Where to resume behind this batch. */
  position: string;
}

/**
 * A stream's entries as they come, in order. It begins when it is made, and ends when a loop over it is
 * left, with its signal, or with its first error, which the loop rejects with: one of the server, such as
 * `WRONGTYPE`; `CLOSED` when the client is closed; `OVERLOADED` when too many gaps wait to be taken, or too
 * many calls to be sent. A lost connection does not end it, nor does a server that loses its Redis: it goes
 * on where it stands. To go on with another tail, in another client perhaps, start that one from its
 * {@link position}.
 *
 * A loop that is slow holds a bounded number of entries; the server waits. Loops over one tail share its
 * entries.
 */
export class Tail implements AsyncIterable<Entry> {
  private constructor();
  /**
   * Where to resume: behind the last entry, batch or gap that was taken. Undefined as long as nothing
   * was and `from` is no id.
   */
  readonly position: string | undefined;
  [Symbol.asyncIterator](): AsyncIterableIterator<Entry>;
  /** The entries as they came, and gaps without an error. The first batch says where the tail stands. */
  batches(): AsyncIterableIterator<TailBatch>;
  /** Ends it, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** An entry that was given to a consumer. It is pending until it is acknowledged. */
export class Delivery extends Entry {
  private constructor();
  /** Acknowledges it (`XACK`). */
  ack(options?: CallOptions): Promise<void>;
}

/** Entries that were given to a consumer together. */
export interface DeliveryBatch {
  /** Oldest first; at least one. */
  entries: Delivery[];
  /** Acknowledges all of them (`XACK`). */
  ack(options?: CallOptions): Promise<void>;
}

/**
 * The entries that a consumer is given, as they come. It begins when it is made, and ends as a
 * {@link Tail} does; those that were given and not acknowledged stay pending. While one batch is worked
 * on, one more is on its way.
 *
 * So a loop that is left, by `break`, an error or the signal, may leave entries pending that it never
 * showed: the rest of its batch and the one on its way. With a `batch` of 1 that is one entry at most.
 *
 * When the connection is lost it goes on with another, and first with what was given and never arrived. When
 * the client is closed it ends with `UNKNOWN_OUTCOME`. `NOGROUP` ends it when the group is missing or goes away.
 */
export class Deliveries implements AsyncIterable<Delivery> {
  private constructor();
  [Symbol.asyncIterator](): AsyncIterableIterator<Delivery>;
  /** The entries as they came. */
  batches(): AsyncIterableIterator<DeliveryBatch>;
  /** Ends it, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Entries, and where to read on. */
export interface ReadResult extends Array<Entry> {
  /**
   * What to pass as `lastId` to the next `read`, so that no entry is missed between the two. Never
   * `$`: that has become the id it stood for.
   */
  readonly lastId: string;
}

/** Tells of a change of the connection's state. */
export class StateEvent extends Event {
  private constructor();
  readonly type: "state";
  readonly state: ConnectionState;
  /**
   * Why it closed, or is connecting again: the WebSocket's close code. Why it is degraded: a word such as
   * errors have, `"DISCONNECTED"` or `"LOADING"`.
   */
  readonly code: number | string | undefined;
  /** The same in words, for people. */
  readonly reason: string | undefined;
}

export interface ClientEventMap {
  state: StateEvent;
}

/**
 * A failure. Compare `code`, never `message`.
 *
 * Arguments of a wrong type are a `TypeError` instead, and an aborted call rejects with its signal's
 * reason.
 */
export class StreamgateError extends Error {
  protected constructor();
  readonly name: "StreamgateError" | "GapError";
  /**
   * As Redis writes it (`NOGROUP`, `BUSYGROUP`, `WRONGTYPE`), or one of streamgate's own (`LIMIT`,
   * `TIMEOUT`, `OVERLOADED`, `DISCONNECTED`, `UNKNOWN_OUTCOME`, `CLOSED`).
   */
  readonly code: string;
  readonly retry: Retry;
}

/**
 * A loop over a tail's entries met a gap, and there was no `onGap` to tell it to. The tail is over; a new
 * one may go on from its position, which is behind the gap.
 */
export class GapError extends StreamgateError {
  private constructor();
  readonly name: "GapError";
  readonly code: "GAP";
  readonly retry: "never";
  readonly gap: Gap;
}

/**
 * A connection to a streamgate server. Any number of calls may be in flight; their answers come in
 * any order. When the connection is lost the client makes another, after a random pause that grows with each
 * failure, and at once when the page or the network comes back. It asks again what was not answered: reads and
 * waits, with the time they have left, and `ack`. A `readGroup` is first given what its lost answer gave. Tails
 * and consumers go on. An `add` is done once, however often it is asked for. A `createGroup` could be done
 * twice and rejects with `UNKNOWN_OUTCOME`; so does what found no connection for half a minute and may have been
 * done, and with `DISCONNECTED` what only reads.
 *
 * It does the same when the server loses its Redis, with pauses between tries; a call that is made meanwhile
 * rejects with a `retry` of `"later"`, and so may what only reads and was on its way to Redis.
 *
 * Every method's promise rejects with a {@link StreamgateError} if the call fails.
 */
export class Client extends EventTarget {
  private constructor();

  readonly state: ConnectionState;

  /**
   * Adds an entry (`XADD`).
   *
   * @returns the entry's id
   */
  add(stream: string, fields: Fields, options?: AddOptions): Promise<string>;

  /** The newest entries, newest first (`XREVRANGE`). None if there is no such stream. */
  readLatest(stream: string, count: number, options?: CallOptions): Promise<Entry[]>;

  /**
   * Entries after an id, oldest first (`XREAD`). A wait that ends without an entry is no error.
   *
   * @param lastId the id of the last entry known: `0` for all, `$` for those added from now on
   */
  read(stream: string, lastId: string, options?: ReadOptions): Promise<ReadResult>;

  /**
   * Creates a group of consumers, and the stream if there is none (`XGROUP CREATE … MKSTREAM`).
   * Rejects with `BUSYGROUP` if the group exists.
   *
   * @param id the group gets the entries after this one: `0` for all, `$` for those added from now on
   */
  createGroup(stream: string, group: string, id: string, options?: CallOptions): Promise<void>;

  /**
   * Entries that no consumer of the group was given yet (`XREADGROUP … >`). Each is given to one
   * consumer, and stays pending until it is acknowledged.
   */
  readGroup(stream: string, group: string, consumer: string, options?: ReadOptions): Promise<Entry[]>;

  /** Acknowledges entries, which are then no longer pending (`XACK`). Unknown ids are ignored. */
  ack(stream: string, group: string, ids: string | Iterable<string>, options?: CallOptions): Promise<void>;

  /** How many entries of a group are pending, and who holds them (`XPENDING`). */
  pending(stream: string, group: string, options?: CallOptions): Promise<PendingSummary>;

  /** The pending entries of a group, in the order of their ids (`XPENDING` with a range). */
  pendingEntries(stream: string, group: string, options?: PendingOptions): Promise<PendingEntry[]>;

  /**
   * Takes over pending entries for a consumer, whoever holds them (`XAUTOCLAIM`). It counts as a delivery. One
   * call looks at ten times `count` entries at most, so one that gives nothing need not be the last.
   *
   * @param minIdleMs only those that were last delivered so many milliseconds ago, or longer
   */
  claim(
    stream: string,
    group: string,
    consumer: string,
    minIdleMs: number,
    options?: ClaimOptions,
  ): Promise<Claimed>;

  /**
   * Removes a consumer, after all that it holds was handed over to `heir`. Nothing pending is lost, also if it is
   * given more meanwhile.
   *
   * @returns how many entries were handed over
   */
  removeConsumer(
    stream: string,
    group: string,
    consumer: string,
    heir: string,
    options?: CallOptions,
  ): Promise<number>;

  /**
   * Follows a stream: what is there, from where the options say, then what is added, as it is added. A
   * stream that is missing is an empty one.
   *
   * @throws {TypeError} for arguments of a wrong type; all else shows when it is iterated
   */
  tail(stream: string, options?: TailOptions): Tail;

  /**
   * Takes entries of a group for a consumer, as they come. Each is given to one consumer, and stays
   * pending until it is acknowledged.
   *
   * @throws {TypeError} for arguments of a wrong type; all else shows when it is iterated
   */
  consume(stream: string, group: string, consumer: string, options?: ConsumeOptions): Deliveries;

  /**
   * Closes the connection. Calls in flight reject; tails end with `CLOSED`, consumers with
   * `UNKNOWN_OUTCOME`, for entries may have been given that never arrived.
   */
  close(): Promise<void>;

  /** The same as {@link close}, for `await using`. */
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
 * Connects to a streamgate server. The first call loads the wasm module.
 *
 * @param url such as `wss://example.com/v1/ws`; on a page it may be relative to the page, such as `/v1/ws`
 * @throws {StreamgateError} `DISCONNECTED` if there is no connection, `CONFIG` if the address is none
 */
export function connect(url: string, options?: ConnectOptions): Promise<Client>;
