//! [`StreamingBackend`]: the six operations on streams.

use futures_util::future::BoxFuture;

use crate::error::CacheResult;

/// A stream entry: its id, and its fields in the order in which they were added. Names may repeat.
///
/// An entry that was deleted while it was pending has no fields. [`Entry`](crate::Entry) is the
/// same with named parts.
pub type StreamEntry = (String, Vec<(String, String)>);

/// The six operations on streams.
///
/// Each operation means what its Redis command means on Redis 7.0 or newer, in every implementor:
/// in this process on Redis or in memory, or at the other end of a WebSocket. The names are those
/// of the `multi-tier-cache` crate, so code written against its trait ports by changing the crate's
/// name.
///
/// Implement it by hand, or implement [`PerformOperation`](crate::PerformOperation) if the six
/// share most of their code.
///
/// # Ids
///
/// An id is `ms` or `ms-seq`: see [`EntryId`](crate::EntryId). Malformed ids fail with `ERR`.
///
/// # Errors
///
/// Operations fail with a [`CacheError`](crate::CacheError) whose
/// [`code`](crate::CacheError::code) is one of [the table](crate::error::CODES):
///
/// - `LIMIT` if the name of a stream, group or consumer is longer than
///   [`MAX_NAME_BYTES`](crate::limits::MAX_NAME_BYTES);
/// - `WRONGTYPE` if the key holds something else than a stream;
/// - if a connection is lost, `DISCONNECTED` for operations that only read, and `UNKNOWN_OUTCOME`
///   for those that may have changed something.
///
/// # Cancel safety
///
/// Dropping a future cancels its wait, at the server too. By then, an operation that changes
/// something may have been performed. A group read may have delivered entries to its consumer; they
/// stay pending.
///
/// # Example: a backend of your own
///
/// ```
/// use futures_util::future::BoxFuture;
/// use streamgate_protocol::error::CacheResult;
/// use streamgate_protocol::traits::StreamEntry;
/// use streamgate_protocol::StreamingBackend;
///
/// /// Accepts everything and stores nothing.
/// struct BlackHole;
///
/// impl StreamingBackend for BlackHole {
///     fn stream_add<'a>(
///         &'a self,
///         _stream_key: &'a str,
///         _fields: Vec<(String, String)>,
///         _maxlen: Option<usize>,
///     ) -> BoxFuture<'a, CacheResult<String>> {
///         Box::pin(async { Ok("0-1".to_string()) })
///     }
///
///     fn stream_read_latest<'a>(
///         &'a self,
///         _stream_key: &'a str,
///         _count: usize,
///     ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
///         Box::pin(async { Ok(Vec::new()) })
///     }
///
///     fn stream_read<'a>(
///         &'a self,
///         _stream_key: &'a str,
///         _last_id: &'a str,
///         _count: usize,
///         _block_ms: Option<usize>,
///     ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
///         Box::pin(async { Ok(Vec::new()) })
///     }
///
///     fn stream_create_group<'a>(
///         &'a self,
///         _stream_key: &'a str,
///         _group_name: &'a str,
///         _id: &'a str,
///     ) -> BoxFuture<'a, CacheResult<()>> {
///         Box::pin(async { Ok(()) })
///     }
///
///     fn stream_read_group<'a>(
///         &'a self,
///         _stream_key: &'a str,
///         _group_name: &'a str,
///         _consumer_name: &'a str,
///         _count: usize,
///         _block_ms: Option<usize>,
///     ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>> {
///         Box::pin(async { Ok(Vec::new()) })
///     }
///
///     fn stream_ack<'a>(
///         &'a self,
///         _stream_key: &'a str,
///         _group_name: &'a str,
///         _ids: &'a [String],
///     ) -> BoxFuture<'a, CacheResult<()>> {
///         Box::pin(async { Ok(()) })
///     }
/// }
///
/// let shared: Box<dyn StreamingBackend> = Box::new(BlackHole);
/// # drop(shared);
/// ```
pub trait StreamingBackend: Send + Sync {
    /// Adds an entry to a stream and returns its id: `XADD key [MAXLEN ~ n] * f v …`.
    ///
    /// Creates a missing stream. `maxlen` trims the oldest entries approximately: at least `maxlen`
    /// stay. Without fields it fails with `ERR`.
    fn stream_add<'a>(
        &'a self,
        stream_key: &'a str,
        fields: Vec<(String, String)>,
        maxlen: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<String>>;

    /// Returns the last `count` entries, newest first: `XREVRANGE key + - COUNT n`.
    ///
    /// For a missing key or a count of 0 the list is empty.
    fn stream_read_latest<'a>(
        &'a self,
        stream_key: &'a str,
        count: usize,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>>;

    /// Returns up to `count` entries after `last_id`, oldest first; if there are none, waits for
    /// one up to `block_ms`: `XREAD COUNT n [BLOCK ms] STREAMS key id`.
    ///
    /// `last_id` is an id, `0` for the beginning, or `$` for the last id at the time of the call.
    /// As in Redis, a count of 0 sets no limit. `block_ms` is the longest wait in milliseconds, of
    /// any length: `Some(0)` sets no limit, and `None` does not wait. If a wait ends without an
    /// entry, the list is empty.
    fn stream_read<'a>(
        &'a self,
        stream_key: &'a str,
        last_id: &'a str,
        count: usize,
        block_ms: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>>;

    /// Creates a consumer group that starts after `id`, and the stream if it is missing:
    /// `XGROUP CREATE key group id MKSTREAM`.
    ///
    /// `id` is an id, `0` for the beginning, or `$` for the last id. If the group exists, the call
    /// fails with `BUSYGROUP`.
    fn stream_create_group<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, CacheResult<()>>;

    /// Delivers up to `count` new entries of a group to a consumer; if there are none, waits for
    /// one up to `block_ms`: `XREADGROUP GROUP g c COUNT n [BLOCK ms] STREAMS key >`.
    ///
    /// The entries stay pending for this consumer until they are acknowledged. Waiting consumers
    /// are served in the order in which they came, each entry to one of them. If the group is
    /// missing, the call fails with `NOGROUP`. `count` and `block_ms` are as in
    /// [`stream_read`](Self::stream_read). A backend may deliver fewer entries than the group has,
    /// so that they fit into one reply; read again for the others.
    fn stream_read_group<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        consumer_name: &'a str,
        count: usize,
        block_ms: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>>;

    /// Acknowledges entries of a group: `XACK key group id…`.
    ///
    /// Ids that are not pending are ignored. Without ids nothing is done.
    fn stream_ack<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, CacheResult<()>>;
}
