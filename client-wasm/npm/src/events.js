// The kinds of events that the module reports: see events.rs, which says what each carries. From
// `PUSHED` to `SKIPPED` they belong to subscriptions that go on.

export const FAILED = 0;
export const VALUE = 1;
export const ENTRIES = 2;
export const DONE = 3;
export const STATE = 4;
export const PUSHED = 5;
export const GAP = 6;
export const GAP_RECREATED = 7;
export const GAP_ROLLED_BACK = 8;
export const SKIPPED = 9;
export const PENDING = 10;
export const TOKEN = 11;
