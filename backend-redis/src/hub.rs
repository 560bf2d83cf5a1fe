//! The hub: waits for entries and feeds tails, without a command that blocks in Redis.
//!
//! # How a wait costs nothing
//!
//! [`RedisStreams`](crate::RedisStreams) has one connection for commands and for the hub, however
//! many readers wait (`connection/command_connection.rs`). `CLIENT TRACKING` is on there, in the
//! mode `OPTIN`: a read after `CLIENT CACHING YES` arms its key, which means that Redis pushes one
//! invalidation when the key changes.
//!
//! 1. The first attempt of every wait goes with the pipeline of its batch (`operation/batch.rs`),
//!    and arms the key. So order is kept, and `$` is resolved to a real id where the caller asked
//!    for it.
//! 2. If there are no entries, the hub takes the wait. The stream may have changed already: the hub
//!    compares the first attempt with the invalidations that came since
//!    (`tracking/recent_invalidations.rs`), and reads the stream itself if need be (`probe.rs`).
//! 3. After the invalidation the hub reads once, and serves every waiter and tail of the stream.
//!
//! Consumers of a group are served in the order in which they came (`group/admission.rs`). A tail
//! joins the stream's feed (`feed.rs`), which reads each change once for all tails.
//!
//! A consumer that cancels never receives an entry that is added after that: the hub's group reads
//! and the adds travel on one connection, and a group read is sent only for consumers that have not
//! cancelled at that moment (`probe.rs`).
//!
//! Redis pushes no invalidation when a group is destroyed or its position is set back. So the hub
//! reads groups with waiting consumers again after each answered ping, every two seconds. On a new connection the hub reads
//! every stream that somebody waits for.
//!
//! If Redis refuses `CLIENT TRACKING`, the streams are polled instead (`tracking/polling.rs`).
//!
//! # Structure
//!
//! One task (`hub_task.rs`) owns the table of all waiters (`wait_table.rs`). The table has one [`stream_state`] for each stream that somebody waits for. It does no I/O and reads
//! no clock.

mod deadlines;
pub(crate) mod feed;
pub(crate) mod group;
mod hub_task;
pub(crate) mod hub_wait;
mod message;
mod probe;
mod readers;
mod shared_entries;
mod stream_state;
mod tracking;
mod wait_table;
mod waiter;

use std::sync::Arc;

use streamgate_backend::Cancellation;
use streamgate_protocol::error::code;
use streamgate_protocol::{ByteString, CacheError, CacheResult, EntryId};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use crate::connection::command_connection::CommandConnection;
use crate::connection::invalidations::Arming;
use crate::hub::feed::FeedSubscriber;
use crate::hub::feed::feed_handle::FeedHandle;
use crate::hub::feed::feed_queue::FeedQueue;
use crate::hub::group::admission::{Admission, GroupKey, QueueSlot, WaitQueues};
use crate::hub::hub_task::{HubInbox, HubTask};
use crate::hub::hub_wait::HubWait;
use crate::hub::message::HubMessage;
use crate::hub::waiter::{GroupReadWaiter, ReadWaiter, Waiter, WaiterKey};
use crate::operation::entry_sizes::EntrySizes;
use crate::tail::cursor::TailCursor;
use crate::wire::errors;

/// Maximum number of waits and tails at once, of all callers.
///
/// A wait takes about half a KiB. A tail takes about three quarters of one, most of it its state
/// and its queue. Either takes another half if nobody else waits for its stream. So this is at most
/// 160 MiB, beside the queued entries.
pub(crate) const MAX_WAITS: usize = 128 * 1024;

/// A handle to the hub's task. Clones are cheap; the task ends with the last one.
#[derive(Clone)]
pub(crate) struct Hub {
    /// Unbounded, but waits and tails are bounded, and neither has more than two messages in it: a
    /// tail joins again only after the hub has replied.
    task: UnboundedSender<HubMessage>,
    waits: Arc<Semaphore>,
    wait_queues: Arc<WaitQueues>,
}

impl Hub {
    /// Spawns the task.
    pub(crate) fn start(
        commands: CommandConnection,
        max_waits: usize,
        sizes: Arc<EntrySizes>,
    ) -> Self {
        let (task, messages) = unbounded_channel();
        let (wait_queues, ended_attempts) = WaitQueues::new();
        let wait_queues = Arc::new(wait_queues);
        let inbox = HubInbox {
            messages,
            ended_attempts,
        };
        tokio::spawn(HubTask::new(commands, inbox, Arc::clone(&wait_queues), sizes).run());
        Self {
            task,
            waits: Arc::new(Semaphore::new(max_waits)),
            wait_queues,
        }
    }

    /// Waits for entries of a stream after an id. `last_id` is that id as the caller wrote it, and
    /// `arming` is the caller's own read, if that armed the stream.
    pub(crate) fn read(
        &self,
        stream: Arc<[u8]>,
        after: EntryId,
        last_id: String,
        count: u64,
        deadline: Option<Instant>,
        arming: Option<Arming>,
    ) -> CacheResult<HubWait> {
        let number = self.wait_queues.next_number();
        let key = WaiterKey {
            stream: Arc::clone(&stream),
            group: None,
            number,
        };
        // What a reader receives, others receive too.
        let cancellation = Cancellation::default();
        self.wait(deadline, Some(last_id), key, cancellation, |waiter| {
            let reader = ReadWaiter {
                number,
                waiter,
                after,
                count,
            };
            HubMessage::Read(stream, reader, arming)
        })
    }

    /// Adds a consumer to the wait queue of its group.
    pub(crate) fn join_wait_queue(&self, group: GroupKey) -> Admission {
        self.wait_queues.join(group)
    }

    /// Waits for entries of a group, for the consumer called `name`.
    pub(crate) fn read_group(
        &self,
        slot: QueueSlot,
        name: ByteString,
        count: u64,
        deadline: Option<Instant>,
        arming: Option<Arming>,
        cancellation: Cancellation,
    ) -> CacheResult<HubWait> {
        let GroupKey { stream, group } = slot.key.clone();
        let key = WaiterKey {
            stream,
            group: Some(group),
            number: slot.number,
        };
        self.wait(deadline, None, key, cancellation, |waiter| {
            let consumer = GroupReadWaiter {
                waiter,
                slot,
                name,
                count,
            };
            HubMessage::ReadGroup(consumer, arming)
        })
    }

    /// Counts a tail against the bound on waits and tails, until the permit is dropped.
    pub(crate) fn reserve_tail(&self) -> CacheResult<Arc<OwnedSemaphorePermit>> {
        self.permit().map(Arc::new)
    }

    /// Joins the feed of a stream with a cursor. The feed bounds its reads if `bounded`.
    pub(crate) fn join_feed(
        &self,
        stream: &Arc<[u8]>,
        cursor: TailCursor,
        bounded: bool,
        permit: Arc<OwnedSemaphorePermit>,
    ) -> CacheResult<FeedHandle> {
        let number = self.wait_queues.next_number();
        let queue = Arc::new(FeedQueue::new(permit));
        let subscriber = FeedSubscriber::new(number, Arc::clone(&queue), cursor, bounded);
        self.send(HubMessage::JoinFeed(Arc::clone(stream), subscriber))?;
        let (stream, hub) = (Arc::clone(stream), self.task.clone());
        Ok(FeedHandle::new(queue, stream, number, hub))
    }

    fn wait(
        &self,
        deadline: Option<Instant>,
        last_id: Option<String>,
        key: WaiterKey,
        cancellation: Cancellation,
        message: impl FnOnce(Waiter) -> HubMessage,
    ) -> CacheResult<HubWait> {
        let permit = self.permit()?;
        let (reply, receiver) = oneshot::channel();
        self.send(message(Waiter {
            deadline,
            reply,
            cancellation,
            _permit: permit,
        }))?;
        let hub = self.task.clone();
        Ok(HubWait::new(receiver, last_id, hub, key))
    }

    fn send(&self, message: HubMessage) -> CacheResult<()> {
        self.task.send(message).map_err(|_| errors::hub_ended())
    }

    fn permit(&self) -> CacheResult<OwnedSemaphorePermit> {
        Arc::clone(&self.waits).try_acquire_owned().map_err(|_| {
            let message = "too many waits and tails at once; retry when some have ended";
            CacheError::backend(code::OVERLOADED, message)
        })
    }
}
