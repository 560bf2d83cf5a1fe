//! The handle: cheap to clone, the same on every target.

mod cancel_guard;
mod driver_handle;
#[cfg(feature = "multi-tier-cache")]
mod multi_tier_cache;
mod operations;
mod permit;
mod response_future;
mod signal;
mod subscribing;
mod subscription_stream;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use streamgate_protocol::close;
use streamgate_protocol::error::code;
use streamgate_protocol::{Bytes, CacheError, CacheResult, Entry, Operation, Reply};
use tokio::sync::{mpsc, watch};

use self::driver_handle::DriverHandle;
pub(crate) use self::permit::Permit;
use self::response_future::ResponseFuture;
pub(crate) use self::signal::QueuedSignal;
use crate::command::Command;
use crate::engine::ConnectionState;

/// How long [`Client::close`] waits for requests: much longer than a server needs for them.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of a streamgate server.
///
/// It keeps one connection, with thousands of requests in flight, and reconnects when the
/// connection is lost. Handles are cheap to clone and share the connection, which ends with the
/// last of them and of their streams.
///
/// Requests and subscriptions are sent in the order in which their futures and streams are first
/// polled; nothing happens before that. If too many are under way, further ones fail with
/// `OVERLOADED`.
///
/// # When the connection is lost
///
/// The client reconnects after a random pause, which grows with each attempt that fails. It then
/// sends all unanswered requests again, in their order: reads and waits, with the time they have
/// left, and acknowledgements. If the lost reply of a group read delivered entries, the client
/// finds them first; a consumer that has one read at a time receives no entry twice. Tails continue
/// at their position and report a gap if there is one. Consumers first receive the entries whose
/// delivery was lost. Requests wait for a connection up to
/// [`ClientConfig::queue_timeout_ms`](crate::ClientConfig::queue_timeout_ms), subscriptions without
/// a limit.
///
/// The same happens when the server loses its Redis, with pauses of up to a second between
/// attempts. A group read is retried until its wait is over, and at least for that timeout. A wait
/// or a subscription that fails 32 times in a row without progress, although Redis is available,
/// ends with the error: it may be what makes Redis close the server's connections. A
/// request that is made while Redis is unavailable fails with `DISCONNECTED`, or another code that
/// permits a retry; the state is [`Degraded`](ConnectionState::Degraded) then.
///
/// An add is stored exactly once, however often the client has to send it, and adds to one stream
/// keep their order. If the outcome of an add, or of a new group, cannot be determined, it fails
/// with
/// `UNKNOWN_OUTCOME`: see [`ClientConfig::exactly_once`](crate::ClientConfig::exactly_once).
#[derive(Debug, Clone)]
pub struct Client {
    driver: Arc<DriverHandle>,
}

/// Entries, and where to read next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadBatch {
    /// Oldest first.
    pub entries: Vec<Entry>,
    /// The id after which to read next: the last entry's, or, without entries, the one that was
    /// asked for with `$` resolved.
    pub last_id: String,
}

impl Client {
    pub(crate) fn new(
        commands: mpsc::UnboundedSender<Command>,
        states: watch::Receiver<ConnectionState>,
    ) -> Self {
        Self {
            driver: Arc::new(DriverHandle::new(commands, states)),
        }
    }

    /// Reads as [`stream_read`](crate::StreamingBackend::stream_read) does, and also returns the id
    /// after which to read next.
    ///
    /// With that id a loop of reads from `$` misses nothing: a wait that ends without an entry
    /// returns it too.
    ///
    /// # Errors
    ///
    /// Those of `stream_read`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the wait, at the server too. Nothing is lost.
    pub async fn read_batch(
        &self,
        stream_key: impl Into<Bytes<'_>>,
        last_id: &str,
        count: usize,
        block_ms: Option<usize>,
    ) -> CacheResult<ReadBatch> {
        let operation = Operation::Read {
            stream: stream_key.into().into_owned(),
            last_id: last_id.to_owned().into(),
            count: count as u64,
            block_ms: block_ms.map(|ms| ms as u64),
        };
        match self.request(operation).await? {
            Reply::Entries {
                entries,
                last_id: Some(last_id),
                ..
            } => Ok(ReadBatch { entries, last_id }),
            _ => Err(CacheError::backend(
                code::PROTOCOL,
                "the server replied to a read without its last id",
            )),
        }
    }

    /// Returns the state of the connection.
    pub fn state(&self) -> ConnectionState {
        self.driver.states.borrow().clone()
    }

    /// Returns a stream of the connection's states: the current one first, then every change.
    ///
    /// States that pass quickly may be skipped; the last one never is. The stream ends after
    /// [`Closed`](ConnectionState::Closed). It does not keep the connection open.
    pub fn states(&self) -> BoxStream<'static, ConnectionState> {
        let mut states = self.driver.states.clone();
        states.mark_changed();
        let next = async |states: Option<watch::Receiver<ConnectionState>>| {
            let mut states = states?;
            // An error: the driver was dropped, as with its runtime.
            states.changed().await.ok()?;
            let state = states.borrow_and_update().clone();
            let is_last = matches!(state, ConnectionState::Closed { .. });
            Some((state, (!is_last).then_some(states)))
        };
        stream::unfold(Some(states), next).boxed()
    }

    /// Waits until the connection's state differs from `seen`, and returns it. States that pass
    /// quickly may be skipped; the last one never is.
    pub async fn state_changed(&self, seen: &ConnectionState) -> ConnectionState {
        let mut states = self.driver.states.clone();
        match states.wait_for(|state| state != seen).await {
            Ok(state) => state.clone(),
            // The driver is gone, so the state is final.
            Err(_) => self.state(),
        }
    }

    /// Waits until the client is connected. While it reconnects, that may take as long as the
    /// server is unreachable.
    ///
    /// # Errors
    ///
    /// `CLOSED` if the client was closed, `DISCONNECTED` if its first attempt to connect failed,
    /// `PROTOCOL` if the server refuses it or speaks another protocol.
    pub async fn ready(&self) -> CacheResult<()> {
        self.wait_until(|state| {
            !matches!(
                state,
                ConnectionState::Connecting | ConnectionState::Reconnecting { .. }
            )
        })
        .await
    }

    /// Waits until the first attempt to connect has succeeded, or the client has given up.
    pub(crate) async fn first_connected(&self) -> CacheResult<()> {
        self.wait_until(|state| *state != ConnectionState::Connecting)
            .await
    }

    async fn wait_until(&self, is_done: impl FnMut(&ConnectionState) -> bool) -> CacheResult<()> {
        let mut states = self.driver.states.clone();
        let state = states.wait_for(is_done).await;
        match state.as_deref() {
            Ok(ConnectionState::Closed { code, reason }) => Err(CacheError::backend(
                close::error_code(*code),
                format_args!("{reason} ({code})"),
            )),
            Ok(_) => Ok(()),
            Err(_) => Err(CacheError::InternalError(
                "the driver was dropped".to_owned(),
            )),
        }
    }

    /// Probes the connection at once, or reconnects at once if the client is pausing before an
    /// attempt.
    ///
    /// Call it when the network changed, or when the machine has slept: a lost connection is then
    /// noticed within one heartbeat of the server rather than two.
    pub fn network_changed(&self) {
        self.driver.signal_network_change();
    }

    /// Closes the client for all handles, as [`close_within`](Self::close_within) does within five
    /// seconds.
    pub async fn close(&self) {
        self.close_within(CLOSE_TIMEOUT).await;
    }

    /// Closes the client for all handles once its requests are done, and waits for the end of the
    /// connection.
    ///
    /// Further requests fail with `CLOSED`, but not acknowledgements, until the connection ends.
    /// Tails end without an error, after the items that have arrived. Consumers end without an error
    /// after the batch that they yielded last: other entries stay pending. Within `timeout`, the
    /// client stays open for acknowledgements of that batch, until the consumer is polled again or
    /// dropped. Reads that wait for entries fail at once, as by [`abort`](Self::abort), and so do
    /// requests that are not done after `timeout`. The timeout of the first call counts.
    ///
    /// # Cancel safety
    ///
    /// The client closes even if the future is dropped after its first poll.
    pub async fn close_within(&self, timeout: Duration) {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.driver.signal_close(timeout_ms);
        let mut states = self.driver.states.clone();
        let _ = states
            .wait_for(|state| matches!(state, ConnectionState::Closed { .. }))
            .await;
    }

    /// Ends the client for all handles at once, without waiting for the end of the connection.
    ///
    /// Every request and subscription fails with `CLOSED`. Those that were sent and change
    /// something, and consumers, fail with `UNKNOWN_OUTCOME`.
    pub fn abort(&self) {
        self.driver.signal_abort();
    }

    fn request(&self, operation: Operation<'static>) -> ResponseFuture<'_> {
        ResponseFuture::new(&self.driver, operation)
    }
}
