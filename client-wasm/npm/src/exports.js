// What the package exports besides each platform's `connect`.

export { Client, StateEvent } from "./client.js";
export { Deliveries, Delivery } from "./deliveries.js";
export { Entry } from "./entry.js";
export { StreamgateError } from "./errors.js";
export { Gap, GapError } from "./gap.js";
export { Tail } from "./subscription.js";
