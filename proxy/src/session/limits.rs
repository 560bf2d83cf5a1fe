//! What one socket may make the server hold or do at once: every bound of a session.
//!
//! An operator sets the bounds on requests in flight, on frames and on sockets: see
//! [`Config`](crate::Config). A bound that clients have to respect is in
//! `streamgate_protocol::limits`. If a bound here is reached, the session stops reading or answers
//! `OVERLOADED`; each constant says which.

use std::time::Duration;

use streamgate_protocol::Bytes;

/// Bytes of the operations that the backend performs for one socket, with the expected bytes of
/// their replies. Those that take further round trips count until their end. The session then stops
/// reading until some are done, so that a slow backend slows its clients down and does not fill
/// memory.
pub(super) const MAX_PERFORMING_BYTES: usize = 16 * 1024 * 1024;

/// Bytes that a read counts for while the backend performs it: nobody knows the length of a reply
/// before. With [`MAX_PERFORMING_BYTES`] this bounds what one socket can make a backend load at
/// once.
pub(super) const READ_REPLY_BYTES: usize = 1024 * 1024;

/// Requests of further round trips that are under way at once on one socket, such as reads of many
/// pages: each may hold a whole reply.
pub(super) const MAX_ACTIVE_CONTINUING: usize = 2;

/// Batches of operations that the backend performs at once for one socket. Above it the session
/// reads no further, and what arrives meanwhile becomes one batch: a backend bounds the pipelines of
/// all sockets together.
pub(super) const MAX_PERFORMING_BATCHES: usize = 1024;

/// Bytes that a read reserves in the server's memory budget for its reply, before anybody knows
/// its size. What arrives then counts as what it is.
pub(super) const RESERVED_REPLY_BYTES: usize = 64 * 1024;

/// Bytes that an operation takes beside those of its frame.
pub(super) const OPERATION_BYTES: usize = 256;

/// Bytes that each field or id of an operation takes beside those of its frame: it may be a byte or
/// two there. The list of decoded ones may have grown to twice its length.
pub(super) const OPERATION_ITEM_BYTES: usize = 2 * size_of::<(Bytes<'_>, Bytes<'_>)>();

/// Bytes that a wait or a subscription takes here and in a backend, beside those of its request.
pub(super) const WAIT_BYTES: usize = 1024;

/// Bytes that an idle socket takes.
pub(crate) const IDLE_SOCKET_BYTES: usize = 10 * 1024;

/// Bytes that a session may hold and still read, once three quarters of the server's memory budget
/// are used: whoever asks for little is served as before.
pub(super) const HELD_WHEN_MEMORY_IS_SHORT: usize = 256 * 1024;

/// Bytes that a session may hold and still read, once all of the memory budget is used: little more
/// than an idle socket.
pub(super) const HELD_WHEN_MEMORY_IS_OUT: usize = 16 * 1024;

/// Pause before a session that may not read for lack of memory looks again.
pub(super) const MEMORY_PAUSE: Duration = Duration::from_millis(25);

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

/// Bytes, with those of expected replies, after which the session adds no further request to those
/// performed together: others have their turns between large ones.
pub(super) const MAX_BATCH_MOVED_BYTES: usize = 256 * 1024;

/// Messages that the session decodes and performs together, at most. The rest of a frame waits for
/// the next turn, so that no socket holds up the others or fills memory with refusals.
pub(super) const MAX_BATCH_MESSAGES: usize = 1024;

/// Time after which a session decodes no further message in the same turn. It keeps the wait of
/// others short, whatever a message costs.
pub(super) const MAX_TURN: Duration = Duration::from_micros(125);

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
