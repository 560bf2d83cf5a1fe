// The operations on the pending entries of a group. The module has one method for all of them,
// which is a smaller download: see pending.rs.

export const SUMMARY = 0;
export const LIST = 1;
export const CLAIM = 2;
export const REMOVE_CONSUMER = 3;
export const CONSUMERS = 4;
