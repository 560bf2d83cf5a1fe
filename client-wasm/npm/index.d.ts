/** Whether the call that failed may be made again. */
export type Retry =
  /** It would fail again. */
  | "never"
  /** Nothing was done; it may succeed later. */
  | "later"
  /** It may have been done, or not. */
  | "unknown";

/** Where the connection stands. A client that is reconnecting keeps calls for later. */
export type ConnectionState = "connecting" | "open" | "reconnecting" | "closed";

/** A constructor that does as the web's `WebSocket` does, such as that of npm's `ws`. */
export type WebSocketConstructor = new (url: string, protocols?: string | string[]) => any;

export interface ConnectOptions {
  /** Gives up connecting, and rejects with the signal's reason. Of no effect later. */
  signal?: AbortSignal | undefined;
  /** Used in place of the global `WebSocket`, for runtimes that have none. */
  WebSocket?: WebSocketConstructor | undefined;
  /** Longest attempt to connect, in milliseconds. Default: 10 000. */
  connectTimeoutMs?: number | undefined;
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
  private constructor();
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
  /** Why it closed, or is connecting again: the WebSocket's close code. */
  readonly code: number | undefined;
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
  private constructor();
  readonly name: "StreamgateError";
  /**
   * As Redis writes it (`NOGROUP`, `BUSYGROUP`, `WRONGTYPE`), or one of streamgate's own (`LIMIT`,
   * `TIMEOUT`, `DISCONNECTED`, `UNKNOWN_OUTCOME`).
   */
  readonly code: string;
  readonly retry: Retry;
}

/**
 * A connection to a streamgate server. Any number of calls may be in flight; their answers come in
 * any order. When the connection is lost, calls in flight reject at once, with `DISCONNECTED` if
 * they only read and with `UNKNOWN_OUTCOME` otherwise, and the client connects again for later ones.
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

  /** Closes the connection. Calls in flight reject. */
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
