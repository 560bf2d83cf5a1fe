//! The hub: waits for entries and feeds tails, without a command that blocks in Redis.
//!
//! # How a wait costs nothing
//!
//! [`RedisStreams`](crate::RedisStreams) has two connections, however many readers wait: one for
//! commands (`connection/command_connection.rs`) and the hub's (`tracking/hub_connection.rs`),
//! which has `CLIENT TRACKING` on.
//!
//! 1. The first attempt of every wait goes with the pipeline of its batch, on the connection for
//!    commands (`operation/batch.rs`). So order is kept, and `$` is resolved to a real id where the
//!    caller asked for it.
//! 2. If there are no entries, the hub reads the stream on its own connection (`probe.rs`). That
//!    read arms the key: Redis pushes one invalidation when the key changes.
//! 3. After the invalidation the hub reads once, and serves every waiter and tail of the stream.
//!
//! Consumers of a group are served in the order in which they came (`group/wait_queue.rs`). A tail
//! joins the stream's feed (`feed.rs`), which reads each change once for all tails.
//!
//! Redis pushes no invalidation when a group is destroyed or its position is set back. So the hub
//! reads groups with waiting consumers again every two seconds. After a lost connection the hub
//! connects again and reads every stream that somebody waits for.
//!
//! If Redis refuses `CLIENT TRACKING`, `XREAD BLOCK` on further connections replaces it
//! (`tracking/fallback.rs`).
//!
//! # Structure
//!
//! One task (`hub_task.rs`) owns the connection and the table of all waiters (`wait_table.rs`). The
//! table has one [`stream_state`] for each stream that somebody waits for. It does no I/O and reads
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

use streamgate_protocol::error::code;
use streamgate_protocol::{ByteString, CacheError, CacheResult, EntryId};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use crate::connection::availability::RedisAvailability;
use crate::connection::barrier::Barrier;
use crate::connection::endpoint::Endpoint;
use crate::hub::feed::FeedSubscriber;
use crate::hub::feed::feed_handle::FeedHandle;
use crate::hub::feed::feed_queue::FeedQueue;
use crate::hub::group::admission::{Admission, GroupKey, QueueSlot, WaitQueues};
use crate::hub::group::cancel_guard::{WaitCancelGuard, guard_pair};
use crate::hub::hub_task::{HubInbox, HubTask};
use crate::hub::hub_wait::HubWait;
use crate::hub::message::HubMessage;
use crate::hub::tracking::hub_connection::TrackedConnection;
use crate::hub::waiter::{GroupReadWaiter, ReadWaiter, Waiter, WaiterKey};
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
    barrier: Barrier,
}

impl Hub {
    /// Connects to Redis and spawns the task.
    ///
    /// The hub closes `barrier` while it may read a group for a consumer that has cancelled.
    pub(crate) async fn connect(
        endpoint: Endpoint,
        barrier: Barrier,
        availability: RedisAvailability,
        max_waits: usize,
    ) -> CacheResult<Self> {
        let connection = TrackedConnection::connect(&endpoint, 0)
            .await
            .map_err(|error| errors::unconnected(&error, &endpoint.address()))?;
        let (task, messages) = unbounded_channel();
        let (wait_queues, ended_attempts) = WaitQueues::new();
        let wait_queues = Arc::new(wait_queues);
        let inbox = HubInbox {
            messages,
            ended_attempts,
        };
        let queues = Arc::clone(&wait_queues);
        tokio::spawn(HubTask::new(endpoint, availability, connection, inbox, queues).run());
        Ok(Self {
            task,
            waits: Arc::new(Semaphore::new(max_waits)),
            wait_queues,
            barrier,
        })
    }

    /// Waits for entries of a stream after an id. `last_id` is that id as the caller wrote it.
    pub(crate) fn read(
        &self,
        stream: Arc<[u8]>,
        after: EntryId,
        last_id: String,
        count: u64,
        deadline: Option<Instant>,
    ) -> CacheResult<HubWait> {
        let number = self.wait_queues.next_number();
        let key = WaiterKey {
            stream: Arc::clone(&stream),
            group: None,
            number,
        };
        self.wait(deadline, Some(last_id), key, None, |waiter| {
            let reader = ReadWaiter {
                number,
                waiter,
                after,
                count,
            };
            HubMessage::Read(stream, reader)
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
    ) -> CacheResult<HubWait> {
        let GroupKey { stream, group } = slot.key.clone();
        let key = WaiterKey {
            stream,
            group: Some(group),
            number: slot.number,
        };
        let (delivery, cancel_guard) = guard_pair(&self.barrier);
        self.wait(deadline, None, key, Some(cancel_guard), |waiter| {
            HubMessage::ReadGroup(GroupReadWaiter {
                waiter,
                slot,
                delivery,
                name,
                count,
            })
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
        cancel_guard: Option<WaitCancelGuard>,
        message: impl FnOnce(Waiter) -> HubMessage,
    ) -> CacheResult<HubWait> {
        let permit = self.permit()?;
        let (reply, receiver) = oneshot::channel();
        self.send(message(Waiter {
            deadline,
            reply,
            _permit: permit,
        }))?;
        let hub = self.task.clone();
        Ok(HubWait::new(receiver, last_id, hub, key, cancel_guard))
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
