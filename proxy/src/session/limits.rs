//! What one socket may make the server hold or do at once: every bound of a session.
//!
//! An operator sets the bounds on requests in flight, on frames and on sockets: see
//! [`Config`](crate::Config). A bound that clients have to respect is in
//! `streamgate_protocol::limits`. If a bound here is reached, the session stops reading or answers
//! `OVERLOADED`; each constant says which.

/// Bytes of the operations that the backend performs for one socket, with the expected bytes of
/// their replies. Those that take further round trips count until their end. The session then stops reading until some are done, so that a slow backend slows
/// its clients down and does not fill memory.
pub(super) const MAX_PERFORMING_BYTES: usize = 16 * 1024 * 1024;

/// Bytes that a read counts for while the backend performs it: nobody knows the length of a reply
/// before. With [`MAX_PERFORMING_BYTES`] this bounds what one socket can make a backend load at
/// once.
pub(super) const READ_REPLY_BYTES: usize = 1024 * 1024;

/// Bytes of the requests that may wait; the session answers more with `OVERLOADED`. Each is kept
/// while it waits, which may be forever. Room for the default number of requests in flight, at
/// 1 KiB each.
pub(super) const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;

/// Unsent bytes above which the session neither reads nor takes replies, until the client has read
/// some. Room for a few frames, which keep the line busy.
pub(super) const MAX_UNSENT_BYTES: usize = 1024 * 1024;

/// Bytes of entries that the consumers of one socket may buffer because they lacked credit. Above
/// it they read one entry at a time, and buffer none of it.
pub(super) const MAX_BUFFERED_BYTES: u64 = 16 * 1024 * 1024;

/// Frames that the session decodes and performs together, at most. Enough to give all of them to
/// the backend for the price of one round trip.
pub(super) const MAX_BATCH_FRAMES: usize = 64;

/// Bytes of frames after which the session adds no further frame to those decoded together.
pub(super) const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// Messages that the session decodes and performs together, at most. The rest of a frame waits for
/// the next turn, so that no socket holds up the others or fills memory with refusals.
pub(super) const MAX_BATCH_MESSAGES: usize = 1024;

/// Items that the subscriptions of one socket hand over together, so that many small ones share a
/// frame.
pub(super) const MAX_READY_ITEMS: usize = 64;

/// Bytes of entries above which the subscriptions hand over no further item in the same turn, so
/// that little is held that cannot be sent yet.
pub(super) const MAX_READY_BYTES: u64 = 256 * 1024;

/// Pushes in a row after which the session polls the socket first: it still hears a client to which
/// it pushes without end.
pub(super) const MAX_CONSECUTIVE_PUSHES: usize = 4;

/// Longest text of a decode error in a reply, in characters: it quotes the request, which may be as
/// long as a frame.
pub(super) const MAX_DECODE_ERROR_CHARS: usize = 200;
