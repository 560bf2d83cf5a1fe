//! Bounds that both sides keep. A server may grant more than a minimum in its
//! [`Welcome`](crate::message::Welcome).

/// Longest name of a stream, group or consumer, in bytes.
///
/// Redis allows 512 MiB. Every request, the text of every error and the hub's table copy the name,
/// so it is bounded where it enters.
pub const MAX_NAME_BYTES: usize = 16 * 1024;

/// Longest id in bytes: Redis copies an id into a buffer of 128 bytes, terminator included. Without
/// leading zeros an id has at most 41.
pub const MAX_ID_BYTES: usize = 127;

/// Longest id of a client, in bytes.
pub const MAX_CLIENT_ID_BYTES: usize = 64;

/// Greatest id of a request or a subscription, and greatest nonce of a ping: every language can
/// hold it.
pub const MAX_MESSAGE_ID: u64 = (1 << 53) - 1;

/// The least that a client may give as the largest frame it accepts, in bytes.
pub const MIN_CLIENT_FRAME_BYTES: u32 = 64 * 1024;

/// Requests in flight that every server accepts. A client stays below it until the
/// [`Welcome`](crate::message::Welcome) grants more.
pub const MIN_REQUESTS_IN_FLIGHT: u32 = 256;

/// Largest frame in bytes that every server accepts. A client stays below it until the
/// [`Welcome`](crate::message::Welcome) grants more. An entry with a value of 1 MiB fits well.
pub const MIN_FRAME_BYTES: u32 = 4 * 1024 * 1024;

/// Requests in flight that a server accepts by default: thousands of waiting readers on one socket,
/// at about 1 KiB each.
pub const DEFAULT_REQUESTS_IN_FLIGHT: u32 = 16_384;

/// Largest frame in bytes that a server accepts by default.
pub const DEFAULT_FRAME_BYTES: u32 = 16 * 1024 * 1024;

/// Largest reply in bytes. A larger one is refused with `LIMIT`: ask for fewer entries. A line of
/// 5 Mbit/s carries it in less than two default heartbeats, so its receiver does not take the
/// server for dead meanwhile.
pub const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;

/// Largest frame in bytes that a server sends: one reply of the largest size and its envelope.
pub const MAX_SERVER_FRAME_BYTES: usize = MAX_REPLY_BYTES + 64 * 1024;

/// Most keys of one JSON object that a receiver does not know. It compares them with each other,
/// because none may come twice.
pub const MAX_UNKNOWN_KEYS: usize = 256;

/// Largest entry that can be added, in bytes: its names, its values, and [`FIELD_BYTES`] for each
/// field. It fits into a reply of [`MAX_REPLY_BYTES`] in every encoding, so that every reader with
/// the default frame can get it.
pub const MAX_ENTRY_BYTES: usize = 8 * 1024 * 1024;

/// Bytes that a field of an entry counts for beside its name and its value: an encoding may take as
/// many.
pub const FIELD_BYTES: usize = 32;

/// Default interval in milliseconds within which a client sends something, a ping if nothing else.
/// Shorter than 30 s, after which the strictest common middleboxes drop idle connections.
pub const DEFAULT_HEARTBEAT_MS: u32 = 15_000;

/// Silent heartbeats after which a side takes the other for dead.
pub const HEARTBEATS_UNTIL_DEAD: u32 = 2;

/// Longest reason of a close, in bytes. A control frame carries at most 125, two of which are the
/// code (RFC 6455, section 5.5).
pub const MAX_CLOSE_REASON_BYTES: usize = 123;

/// Most fields of an add. An idempotent add runs in Lua, which passes hardly more arguments to a
/// command; all adds have the same bound. Each field is two arguments to Redis, and 48 bytes of
/// memory while it is a byte or two of a frame.
pub const MAX_FIELDS: usize = 1_024;

/// Most ids in one list of a request: Redis executes one command at a time, and needs a few
/// milliseconds for a list of this length.
pub const MAX_IDS: usize = 10_000;

/// Longest name of a producer, in bytes, which are `A-Z`, `a-z`, `0-9`, `_` and `-`.
pub const MAX_PRODUCER_BYTES: usize = 64;

/// Largest number of a producer's add: five bytes hold it. A million adds a second reach it after a
/// day; then the producer takes another name.
pub const MAX_PRODUCER_NUMBER: u64 = 100_000_000_000;

/// The last adds of a producer to a stream that the backend remembers at least, so that sending one
/// again adds nothing.
pub const ADDS_REMEMBERED: u64 = 1_024;

/// Milliseconds after a producer's last add for which the backend remembers its adds at least.
pub const REMEMBERED_MS: u64 = 600_000;

/// Most pending entries that one reply lists, or one claim takes. More is refused with `LIMIT`:
/// Redis executes one command at a time, and needs a few milliseconds for a list of this length.
pub const MAX_PENDING_PAGE: usize = 10_000;

/// Longest pause in milliseconds before a client sends a request or a subscription again that the
/// server could not perform. It doubles with each failure. A connection of the server to its
/// backend that was cut is usually replaced by then.
pub const FIRST_RETRY_PAUSE_MS: u32 = 50;

/// Longest of these pauses in milliseconds: waits continue within a second after the backend is
/// back.
pub const MAX_RETRY_PAUSE_MS: u32 = 1_000;

/// Failures in a row, without progress and although the backend is available, after which a client
/// ends a subscription or a wait: about half a minute. More would not help, and would cost everybody
/// at the server.
pub const MAX_FAILURES: u32 = 32;

/// Milliseconds after which a client looks once more for entries that a server delivered to a lost
/// connection, counted from the moment when the server must have given that connection up.
pub const LATE_RECOVERY_MARGIN_MS: u64 = 500;
