//! The trait that every implementor keeps, near or far.

use futures_util::future::BoxFuture;

use crate::error::CacheResult;

/// One entry of a stream: its id, then its fields in the order they were added.
///
/// Names may repeat; neither order nor repetition is lost. An entry that was deleted while it
/// was pending comes back without fields.
pub type StreamEntry = (String, Vec<(String, String)>);

/// The six operations on streams.
///
/// Each operation means what the Redis command named beside it means, run on Redis 7.0 or newer,
/// wherever the implementor lives: in this process on Redis or in memory, or behind a WebSocket.
/// The names are those of the `multi-tier-cache` crate, so that code written against its trait
/// ports by changing the crate's name.
///
/// # Errors
///
/// Every operation fails with a [`CacheError`](crate::CacheError) whose
/// [`code`](crate::CacheError::code) is one of [the table](crate::error::CODES). A name (of a
/// stream, group or consumer) longer than
/// [`MAX_NAME_BYTES`](crate::limits::MAX_NAME_BYTES) is refused with `LIMIT`. A key that holds
/// something else than a stream is `WRONGTYPE`. When a connection is lost, operations that only
/// read fail with `DISCONNECTED`, and those that may have changed something with
/// `UNKNOWN_OUTCOME`.
///
/// # Cancel safety
///
/// Dropping a future cancels its wait, at the server too. An operation that changes something
/// may have been carried out when its future is dropped; a group read may have handed entries to
/// its consumer, where they stay pending.
///
/// # Example: a backend of your own
///
/// ```
/// use futures_util::future::BoxFuture;
/// use streamgate_protocol::error::CacheResult;
/// use streamgate_protocol::traits::StreamEntry;
/// use streamgate_protocol::StreamingBackend;
///
/// /// Accepts everything, remembers nothing.
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
    /// Adds an entry at the end of a stream and returns its id: `XADD key [MAXLEN ~ n] * f v …`.
    ///
    /// A stream that is missing is created. `maxlen` trims the oldest entries approximately:
    /// at least `maxlen` entries stay. No fields is an error (`ERR`).
    fn stream_add<'a>(
        &'a self,
        stream_key: &'a str,
        fields: Vec<(String, String)>,
        maxlen: Option<usize>,
    ) -> BoxFuture<'a, CacheResult<String>>;

    /// Reads the last `count` entries, newest first: `XREVRANGE key + - COUNT n`.
    ///
    /// A missing key, like a count of 0, gives an empty list.
    fn stream_read_latest<'a>(
        &'a self,
        stream_key: &'a str,
        count: usize,
    ) -> BoxFuture<'a, CacheResult<Vec<StreamEntry>>>;

    /// Reads up to `count` entries after `last_id`, oldest first, and waits for one if asked to:
    /// `XREAD COUNT n [BLOCK ms] STREAMS key id`.
    ///
    /// `last_id` is an id (`ms` or `ms-seq`; `0` reads from the beginning) or `$`, which stands
    /// for the last id at the time of asking. As in Redis, a count of 0 sets no limit. `block_ms`
    /// is the longest wait in milliseconds, of any length; `Some(0)` waits without a limit and
    /// `None` does not wait. A wait that ends without an entry gives an empty list.
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
    /// A group that is there already is the error `BUSYGROUP`.
    fn stream_create_group<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, CacheResult<()>>;

    /// Takes up to `count` entries that no consumer of the group was given yet, and waits for
    /// one if asked to: `XREADGROUP GROUP g c COUNT n [BLOCK ms] STREAMS key >`.
    ///
    /// The entries stay pending for this consumer until they are acknowledged. Waiting consumers
    /// are served in the order they came, each entry to one of them. A group that is missing is
    /// the error `NOGROUP`. `count` and `block_ms` are as in
    /// [`stream_read`](Self::stream_read).
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
    /// Ids that are not pending, like no ids at all, are no error.
    fn stream_ack<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, CacheResult<()>>;
}
