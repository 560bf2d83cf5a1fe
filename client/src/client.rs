//! The handle: cheap to clone, the same on every target.

mod cancel_guard;
mod groups;
mod response_future;
mod streaming;
mod subscribing;
mod subscription_stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use streamgate_protocol::close::{self, AfterClose};
use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult, Operation, Reply, StreamEntry};
use tokio::sync::{mpsc, watch};

use self::response_future::Call;
use crate::driver::Command;
use crate::engine::ConnectionState;

/// A streamgate server somewhere else.
///
/// It keeps one connection, with thousands of calls in flight on it, and makes a new one when it
/// is lost. Handles are cheap to clone and share the connection; it ends with the last of them and
/// of their streams.
///
/// Calls and subscriptions go out in the order in which their futures and streams are first
/// polled, and nothing is done before that. More of them than the client can hold are refused with
/// `OVERLOADED`.
///
/// # When the connection is lost
///
/// Another one is made by itself, after a random pause that grows with each failure. What was not
/// answered is asked again on it, in the order in which it was asked first: reads and waits, with
/// the time they have left, and acknowledgements. A group read is first given what its lost answer
/// gave to the consumer; no entry comes twice to a consumer that is asked for once at a time. Tails
/// go on where they stand, told of a gap if there is one, and consumers with what was on its way to
/// them. Calls wait for a connection no longer than
/// [`Config::queue_timeout_ms`](crate::engine::Config::queue_timeout_ms), subscriptions for as long
/// as it takes.
///
/// The same holds when the server loses its Redis, with pauses of up to a second between tries: what
/// was given to a consumer and got lost is found, tails and consumers go on, and a group read tries
/// until its wait is over, or for that timeout if it is longer. A call that comes while Redis is away
/// is refused with `DISCONNECTED`, or another code that says to try later; the state is
/// [`Degraded`](ConnectionState::Degraded) then.
///
/// Adds are done once, however often they are asked for, and those to one stream in their order.
/// When that cannot be found out they end with `UNKNOWN_OUTCOME`, as does a new group whose answer
/// was lost: see [`Config::exactly_once`](crate::engine::Config::exactly_once).
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<DriverHandle>,
}

#[derive(Debug)]
struct DriverHandle {
    commands: mpsc::UnboundedSender<Command>,
    next_id: AtomicU64,
    /// Calls and subscriptions that are not over.
    calls: AtomicUsize,
    state: watch::Receiver<ConnectionState>,
}

/// Entries, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBatch {
    /// Oldest first.
    pub entries: Vec<StreamEntry>,
    /// The id to read after next: the last entry's, or without entries the one asked for, with
    /// `$` resolved.
    pub last_id: String,
}

impl Client {
    pub(crate) fn new(
        commands: mpsc::UnboundedSender<Command>,
        state: watch::Receiver<ConnectionState>,
    ) -> Self {
        Self {
            shared: Arc::new(DriverHandle::new(commands, state)),
        }
    }

    /// As [`stream_read`](crate::StreamingBackend::stream_read), and with the id to read after
    /// next. From `$`, that id is what makes a loop of reads miss nothing, for a wait that ends
    /// without an entry gives it too.
    ///
    /// # Errors
    ///
    /// As `stream_read`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait, at the server too. Nothing is lost.
    pub async fn read_batch(
        &self,
        stream_key: &str,
        last_id: &str,
        count: usize,
        block_ms: Option<usize>,
    ) -> CacheResult<ReadBatch> {
        let operation = streaming::read(stream_key, last_id, count, block_ms);
        match self.request(operation).await? {
            Reply::Entries {
                entries,
                last_id: Some(last_id),
            } => Ok(ReadBatch { entries, last_id }),
            _ => Err(CacheError::backend(
                code::PROTOCOL,
                "a read was answered without its id",
            )),
        }
    }

    /// How the connection is now.
    pub fn state(&self) -> ConnectionState {
        self.shared.state.borrow().clone()
    }

    /// Waits until the connection's state is another one than `seen`, and returns it. States that
    /// pass quickly may be skipped; the last one never is.
    pub async fn state_changed(&self, seen: &ConnectionState) -> ConnectionState {
        let mut states = self.shared.state.clone();
        match states.wait_for(|state| state != seen).await {
            Ok(state) => state.clone(),
            // The driver is gone; its last word stands.
            Err(_) => self.state(),
        }
    }

    /// Closes the connection for all handles and waits for its end. Calls in flight fail as if the
    /// connection were lost, and so do consumers, with `UNKNOWN_OUTCOME`. Tails end with `CLOSED`,
    /// as does all that was not sent yet or follows.
    pub async fn close(&self) {
        // If the driver is gone already there is nothing to close.
        let _ = self.shared.commands.send(Command::Close);
        let mut states = self.shared.state.clone();
        let _ = states
            .wait_for(|state| matches!(state, ConnectionState::Closed { .. }))
            .await;
    }

    /// Waits for the first attempt to connect.
    ///
    /// # Errors
    ///
    /// `DISCONNECTED`, or `PROTOCOL` if the server speaks another one.
    pub async fn ready(&self) -> CacheResult<()> {
        let mut states = self.shared.state.clone();
        let state = states
            .wait_for(|state| *state != ConnectionState::Connecting)
            .await;
        match state.as_deref() {
            Ok(ConnectionState::Closed { code, reason }) => {
                let of = match close::after_close(*code) {
                    AfterClose::Stop => code::PROTOCOL,
                    AfterClose::Reconnect => code::DISCONNECTED,
                };
                Err(CacheError::backend(of, format_args!("{reason} ({code})")))
            }
            Ok(_) => Ok(()),
            Err(_) => Err(CacheError::InternalError(
                "the driver was dropped".to_owned(),
            )),
        }
    }

    fn request(&self, operation: Operation<'static>) -> Call<'_> {
        Call::new(&self.shared, operation)
    }
}

impl DriverHandle {
    fn new(
        commands: mpsc::UnboundedSender<Command>,
        state: watch::Receiver<ConnectionState>,
    ) -> Self {
        Self {
            commands,
            next_id: AtomicU64::new(1),
            calls: AtomicUsize::new(0),
            state,
        }
    }

    fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn send(&self, command: Command) -> CacheResult<()> {
        let closed = |_| CacheError::backend(code::CLOSED, "the client is closed");
        self.commands.send(command).map_err(closed)
    }
}
