// The numbers of SPEC.md by which operations, subscriptions and the starts of tails travel.

export const ADD = 0;
export const READ_LATEST = 1;
export const READ = 2;
export const CREATE_GROUP = 3;
export const READ_GROUP = 4;
export const ACK = 5;
export const PENDING_SUMMARY = 8;
export const PENDING = 9;
export const CLAIM = 10;
export const REMOVE_CONSUMER = 11;
export const CONSUMERS = 12;

export const TAIL = 0;
export const CONSUME = 1;

export const BEGINNING = 0;
export const NOW = 1;
export const AFTER = 2;
export const LAST = 3;
