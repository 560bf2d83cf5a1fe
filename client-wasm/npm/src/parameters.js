// The parameters and the options of every method, each with its check. Those that travel stand in
// the order of SPEC.md.

import { flatFields, idList, local, name, optional, or, tailStart, text, webSocketUrl, wholeNumber } from "./arguments.js";
import * as operations from "./operations.js";
import { option } from "./writer.js";

/** The entries that a read returns at most, unless the options say otherwise. */
const READ_COUNT = 1_000;

/** The same of a group read, whose entries are then pending. */
const READ_GROUP_COUNT = 100;

/** The pending entries that one request lists at most, unless the options say otherwise. */
const PENDING_COUNT = 10_000;

/** The entries that a claim takes at most, unless the options say otherwise: the default of Redis. */
const CLAIM_COUNT = 100;

/** The entries that a consumer receives at once, unless the options say otherwise. */
const CONSUME_BATCH = 64;

/** How long a client that is closed waits for its requests, unless the options say otherwise. */
const CLOSE_TIMEOUT_MS = 5_000;

/** How long an attempt to connect may take, unless the options say otherwise. */
export const CONNECT_TIMEOUT_MS = 10_000;

const isFunction = (value) => typeof value === "function";
const callback = local(isFunction, "a function");
const signal = local((value) => isFunction(value.throwIfAborted), "an AbortSignal");
const onlySignal = { signal };

const inGroup = { stream: name, group: name };
const ofConsumer = { ...inGroup, consumer: name };

/** By the name of the method: the number of its operation, its parameters and its options. */
export const REQUESTS = {
  add: [operations.ADD, { stream: name, fields: flatFields }, { maxlen: optional(wholeNumber), signal }],
  readLatest: [operations.READ_LATEST, { stream: name, count: wholeNumber }, onlySignal],
  read: [
    operations.READ,
    { stream: name, lastId: text },
    { count: or(wholeNumber, READ_COUNT), blockMs: optional(wholeNumber), signal },
  ],
  createGroup: [operations.CREATE_GROUP, { ...inGroup, id: text }, onlySignal],
  readGroup: [
    operations.READ_GROUP,
    ofConsumer,
    { count: or(wholeNumber, READ_GROUP_COUNT), blockMs: optional(wholeNumber), signal },
  ],
  ack: [operations.ACK, { ...inGroup, ids: idList }, onlySignal],
  pending: [operations.PENDING_SUMMARY, inGroup, onlySignal],
  pendingEntries: [
    operations.PENDING,
    inGroup,
    {
      start: or(text, "-"),
      end: or(text, "+"),
      count: or(wholeNumber, PENDING_COUNT),
      consumer: optional(name),
      minIdleMs: optional(wholeNumber),
      signal,
    },
  ],
  claim: [
    operations.CLAIM,
    { ...ofConsumer, minIdleMs: wholeNumber },
    { start: or(text, "0-0"), count: or(wholeNumber, CLAIM_COUNT), signal },
  ],
  removeConsumer: [operations.REMOVE_CONSUMER, { ...ofConsumer, newOwner: name }, onlySignal],
  consumers: [operations.CONSUMERS, inGroup, onlySignal],
};

export const TAIL = [{ stream: name }, { from: tailStart, onGap: callback, onSkipped: callback, signal }];

export const CONSUME = [
  ofConsumer,
  {
    batch: or(wholeNumber, CONSUME_BATCH),
    claimAfterMs: optional(wholeNumber),
    maxDeliveries: optional(wholeNumber),
    deadLetter: optional(name),
    // After `resumed`: the module resumes by itself.
    createFrom: (value, what) => [...option(), ...optional(text)(value, what)],
    onSkipped: callback,
    signal,
  },
];

export const CLOSE = [{}, { timeoutMs: or(wholeNumber, CLOSE_TIMEOUT_MS) }];

const url = { url: webSocketUrl };
const isBoolean = local((value) => typeof value === "boolean", "a boolean");
const openOptions = {
  WebSocket: local(isFunction, "a constructor"),
  connectTimeoutMs: optional(wholeNumber),
  exactlyOnce: isBoolean,
  token: local((value) => isFunction(value) || typeof value === "string", "a string or a function"),
};

export const OPEN = [url, openOptions];

export const CONNECT = [url, { ...openOptions, retry: isBoolean, signal }];
