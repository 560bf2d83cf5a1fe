//! Waiting for entries, without a command that blocks: Redis pushes which stream has changed,
//! and one read serves all who wait for it.
//!
//! One task owns one connection with `CLIENT TRACKING` and a table of who waits for what. A read
//! arms its key, the key's next change is pushed, and the task reads again. Where Redis refuses
//! `CLIENT TRACKING`, reads that block on further connections stand in for the pushes.

pub(crate) mod deadlines;
pub(crate) mod feed;
pub(crate) mod group;
pub(crate) mod hub_task;
pub(crate) mod hub_wait;
pub(crate) mod message;
pub(crate) mod probe;
pub(crate) mod stream_state;
pub(crate) mod tracking;
pub(crate) mod wait_table;

use std::sync::Arc;

use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use crate::connection::availability::RedisAvailability;
use crate::connection::barrier::Barrier;
use crate::connection::endpoint::Endpoint;
use crate::hub::feed::FeedSubscriber;
use crate::hub::feed::feed_queue::FeedQueue;
use crate::hub::group::cancel_guard::{WaitCancelGuard, guard_pair};
use crate::hub::group::wait_queue::WaitQueues;
use crate::hub::hub_task::HubTask;
use crate::hub::message::{GroupReadWaiter, HubMessage, ReadWaiter, Waiter, WaiterKey};
use crate::hub::tracking::hub_connection::TrackedConnection;
use crate::tail::cursor::TailCursor;
use crate::wire::errors;
use streamgate_protocol::EntryId;

pub(crate) use crate::hub::feed::feed_handle::FeedHandle;
pub(crate) use crate::hub::feed::feed_queue::{FeedEvent, QueuedSegment};
pub(crate) use crate::hub::group::wait_queue::{Admission, FirstAttempt, GroupKey, QueueSlot};
pub(crate) use crate::hub::hub_wait::HubWait;

/// Waits and tails under way at once, of all callers. A wait takes about half a KiB; a tail about
/// three quarters of one, most of it the follower and its queue; and either half a KiB more if
/// nobody else waits for its stream. So this is at most 160 MiB, beside the entries that are on
/// their way.
pub(crate) const MAX_WAITS: usize = 128 * 1024;

/// The way to the task that waits.
#[derive(Clone)]
pub(crate) struct Hub {
    /// Not bounded by itself, but waits and tails are, and neither has more than two messages in
    /// it: a tail joins again only after it was answered.
    task: UnboundedSender<HubMessage>,
    waits: Arc<Semaphore>,
    wait_queues: Arc<WaitQueues>,
    hold: Barrier,
}

impl Hub {
    /// Connects, and starts the task, which ends with the last clone. Commands are to be held back
    /// while the group is read for a consumer that has gone.
    pub(crate) async fn connect(
        server: Endpoint,
        hold: Barrier,
        availability: RedisAvailability,
        max_waits: usize,
    ) -> CacheResult<Self> {
        let up = TrackedConnection::connect(&server, 0)
            .await
            .map_err(|error| errors::unconnected(&error, &server.address()))?;
        let (task, inbox) = unbounded_channel();
        let wait_queues = Arc::new(WaitQueues::default());
        tokio::spawn(HubTask::new(server, availability, up, inbox, Arc::clone(&wait_queues)).run());
        Ok(Self {
            task,
            waits: Arc::new(Semaphore::new(max_waits)),
            wait_queues,
            hold,
        })
    }

    /// Waits for entries of a stream after an id, `last_id` being that id as it was asked for.
    pub(crate) fn read(
        &self,
        stream: Arc<str>,
        after: EntryId,
        last_id: String,
        count: u64,
        deadline: Option<Instant>,
    ) -> CacheResult<HubWait> {
        let number = self.wait_queues.next_number();
        let address = WaiterKey {
            stream: Arc::clone(&stream),
            group: None,
            number,
        };
        self.wait(deadline, Some(last_id), address, None, |waiter| {
            HubMessage::Read(
                stream,
                ReadWaiter {
                    number,
                    waiter,
                    after,
                    count,
                },
            )
        })
    }

    /// Counts one who is going to follow, as long as the value lives.
    pub(crate) fn admit(&self) -> CacheResult<Arc<OwnedSemaphorePermit>> {
        self.permit().map(Arc::new)
    }

    /// Takes part in the feed of a stream, having seen what is before a slot.
    pub(crate) fn tail_source(
        &self,
        stream: &Arc<str>,
        cursor: TailCursor,
        permit: Arc<OwnedSemaphorePermit>,
    ) -> CacheResult<FeedHandle> {
        let number = self.wait_queues.next_number();
        let queue = Arc::new(FeedQueue::new(permit));
        let subscriber = FeedSubscriber::new(number, Arc::clone(&queue), cursor);
        self.task
            .send(HubMessage::JoinFeed(Arc::clone(stream), subscriber))
            .map_err(|_| errors::hub_ended())?;
        Ok(FeedHandle::new(
            queue,
            Arc::clone(stream),
            number,
            self.task.clone(),
        ))
    }

    /// Takes a place in the line of a group's waiting consumers.
    pub(crate) fn join(&self, stream: &str, group: &str) -> Admission {
        let key = GroupKey {
            stream: stream.into(),
            group: group.into(),
        };
        self.wait_queues.join(key, &self.task)
    }

    /// Waits in line for entries of a group.
    pub(crate) fn read_group(
        &self,
        slot: QueueSlot,
        name: String,
        count: u64,
        deadline: Option<Instant>,
    ) -> CacheResult<HubWait> {
        let GroupKey { stream, group } = slot.key.clone();
        let address = WaiterKey {
            stream,
            group: Some(group),
            number: slot.number,
        };
        let (delivery, cancel_guard) = guard_pair(&self.hold);
        self.wait(deadline, None, address, Some(cancel_guard), |waiter| {
            HubMessage::ReadGroup(GroupReadWaiter {
                waiter,
                slot,
                delivery,
                name,
                count,
            })
        })
    }

    fn wait(
        &self,
        deadline: Option<Instant>,
        last_id: Option<String>,
        address: WaiterKey,
        cancel_guard: Option<WaitCancelGuard>,
        message: impl FnOnce(Waiter) -> HubMessage,
    ) -> CacheResult<HubWait> {
        let permit = self.permit()?;
        let (answer, receiver) = oneshot::channel();
        let waiter = Waiter {
            deadline,
            answer,
            _permit: permit,
        };
        self.task
            .send(message(waiter))
            .map_err(|_| errors::hub_ended())?;
        let hub = self.task.clone();
        Ok(HubWait::new(receiver, last_id, hub, address, cancel_guard))
    }

    fn permit(&self) -> CacheResult<OwnedSemaphorePermit> {
        Arc::clone(&self.waits)
            .try_acquire_owned()
            .map_err(|_| CacheError::backend(code::OVERLOADED, "too many wait or follow already"))
    }
}
