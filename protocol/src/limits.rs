//! The bounds both sides keep. What a server grants above the minimum is in its
//! [`Welcome`](crate::message::Welcome).

/// Longest name of a stream, group or consumer, in bytes.
///
/// Redis would take 512 MiB; a name is copied into every request, every answer's error and the
/// hub's table, so it is bounded where it enters.
pub const MAX_NAME_BYTES: usize = 16 * 1024;

/// Longest id in bytes: Redis copies an id into a buffer of 128 bytes, terminator included. Without
/// leading zeros an id has at most 41.
pub const MAX_ID_BYTES: usize = 127;

/// Requests in flight that every server takes, and so what a client may send before the
/// [`Welcome`](crate::message::Welcome) tells it more.
pub const MIN_REQUESTS_IN_FLIGHT: u32 = 256;

/// Largest frame in bytes that every server takes, and so what a client may send before the
/// [`Welcome`](crate::message::Welcome) tells it more. An entry of one value of 1 MiB fits well.
pub const MIN_FRAME_BYTES: u32 = 4 * 1024 * 1024;

/// Requests in flight that a server takes by default: room for thousands of waiting readers on
/// one socket, at about 1 KiB each.
pub const DEFAULT_REQUESTS_IN_FLIGHT: u32 = 16_384;

/// Largest frame in bytes that a server takes by default.
pub const DEFAULT_FRAME_BYTES: u32 = 16 * 1024 * 1024;

/// Largest answer in bytes. More is refused with `LIMIT`: ask for fewer entries. It takes less
/// than two default heartbeats on a line of 5 Mbit/s, so its receiver does not take the server
/// for dead meanwhile.
pub const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;

/// Largest frame in bytes that a server sends: one answer of the largest size and its envelope.
pub const MAX_SERVER_FRAME_BYTES: usize = MAX_REPLY_BYTES + 64 * 1024;

/// How often, in milliseconds, a client sends something, by default: a ping if nothing else.
/// Below the 30 s at which the strictest common middleboxes drop idle connections.
pub const DEFAULT_HEARTBEAT_MS: u32 = 15_000;

/// A side that has heard nothing for this many heartbeats takes the other for dead.
pub const HEARTBEATS_UNTIL_DEAD: u32 = 2;

/// Longest reason of a close, in bytes (RFC 6455, section 5.5: a control frame carries at most
/// 125 bytes, two of which are the code).
pub const MAX_CLOSE_REASON_BYTES: usize = 123;

/// Fields of an entry that is added once, at most: Lua hands a command so many arguments at once.
/// What has more is added as any other entry.
pub const MAX_FIELDS_ONCE: usize = 1_024;

/// Longest name of a producer, in bytes.
pub const MAX_PRODUCER_BYTES: usize = 64;

/// Largest number of a producer's add: what a hundred million rounds of its ring hold. At a million
/// adds a second that lasts a day; then it takes another name.
pub const MAX_PRODUCER_NUMBER: u64 = 100_000_000_000;

/// Adds of a producer to a stream that are remembered, so that repeating one adds nothing.
pub const ADDS_REMEMBERED: u64 = 1_024;

/// For how many milliseconds after its last add a producer is remembered.
pub const REMEMBERED_MS: u64 = 600_000;
/// Pending entries that one answer lists, or that one claim takes over, at most. More is refused
/// with `LIMIT`: Redis answers one command at a time, and a list of so many takes it a few
/// milliseconds.
pub const MAX_PENDING_PAGE: usize = 10_000;
