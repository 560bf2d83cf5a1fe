//! Waiting for entries, without a command that blocks: Redis pushes which stream has changed,
//! and one read serves all who wait for it.
//!
//! One task owns one connection with `CLIENT TRACKING` and a table of who waits for what. A read
//! arms its key, the key's next change is pushed, and the task reads again. Where Redis refuses
//! `CLIENT TRACKING`, reads that block on further connections stand in for the pushes.

mod blockers;
mod deadline;
mod feed;
mod group;
mod line;
mod link;
mod message;
mod presence;
mod pushes;
mod queue;
mod rest;
mod seat;
mod table;
mod task;
mod visit;
mod wait;
mod watch;

use std::sync::Arc;

use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use self::feed::Member;
use self::line::Lines;
use self::link::Up;
use self::message::{Address, Consumer, Message, Reader, Waiter};
use self::presence::{Leaver, presence};
use self::queue::Queue;
use self::task::Task;
use super::availability::Availability;
use super::connection::Server;
use super::error;
use super::hold::Hold;
use super::standing::Standing;
use crate::entry_id::EntryId;

pub(super) use self::line::{Attempt, GroupKey, Place, Turn};
pub(super) use self::queue::{Live, News};
pub(super) use self::seat::Seat;
pub(super) use self::wait::Wait;

/// Waits and tails under way at once, of all callers. A wait takes about half a KiB; a tail about
/// three quarters of one, most of it the follower and its queue; and either half a KiB more if
/// nobody else waits for its stream. So this is at most 160 MiB, beside the entries that are on
/// their way.
pub(super) const MAX_WAITS: usize = 128 * 1024;

/// The way to the task that waits.
#[derive(Clone)]
pub(super) struct Hub {
    /// Not bounded by itself, but waits and tails are, and neither has more than two messages in
    /// it: a tail joins again only after it was answered.
    task: UnboundedSender<Message>,
    waits: Arc<Semaphore>,
    lines: Arc<Lines>,
    hold: Hold,
}

impl Hub {
    /// Connects, and starts the task, which ends with the last clone. Commands are to be held back
    /// while the group is read for a consumer that has gone.
    pub(super) async fn connect(
        server: Server,
        hold: Hold,
        availability: Availability,
        max_waits: usize,
    ) -> CacheResult<Self> {
        let up = Up::connect(&server, 0)
            .await
            .map_err(|error| error::unconnected(&error, &server.address()))?;
        let (task, inbox) = unbounded_channel();
        let lines = Arc::new(Lines::default());
        tokio::spawn(Task::new(server, availability, up, inbox, Arc::clone(&lines)).run());
        Ok(Self {
            task,
            waits: Arc::new(Semaphore::new(max_waits)),
            lines,
            hold,
        })
    }

    /// Waits for entries of a stream after an id, `last_id` being that id as it was asked for.
    pub(super) fn read(
        &self,
        stream: Arc<str>,
        after: EntryId,
        last_id: String,
        count: u64,
        deadline: Option<Instant>,
    ) -> CacheResult<Wait> {
        let number = self.lines.next_number();
        let address = Address {
            stream: Arc::clone(&stream),
            group: None,
            number,
        };
        self.wait(deadline, Some(last_id), address, None, |waiter| {
            Message::Read(
                stream,
                Reader {
                    number,
                    waiter,
                    after,
                    count,
                },
            )
        })
    }

    /// Counts one who is going to follow, as long as the value lives.
    pub(super) fn admit(&self) -> CacheResult<Arc<OwnedSemaphorePermit>> {
        self.permit().map(Arc::new)
    }

    /// Takes part in the feed of a stream, having seen what is before a place.
    pub(super) fn follow(
        &self,
        stream: &Arc<str>,
        standing: Standing,
        permit: Arc<OwnedSemaphorePermit>,
    ) -> CacheResult<Seat> {
        let number = self.lines.next_number();
        let queue = Arc::new(Queue::new(permit));
        let member = Member::new(number, Arc::clone(&queue), standing);
        self.task
            .send(Message::Follow(Arc::clone(stream), member))
            .map_err(|_| error::hub_ended())?;
        Ok(Seat::new(
            queue,
            Arc::clone(stream),
            number,
            self.task.clone(),
        ))
    }

    /// Takes a place in the line of a group's waiting consumers.
    pub(super) fn join(&self, stream: &str, group: &str) -> Turn {
        let key = GroupKey {
            stream: stream.into(),
            group: group.into(),
        };
        self.lines.join(key, &self.task)
    }

    /// Waits in line for entries of a group.
    pub(super) fn read_group(
        &self,
        place: Place,
        name: String,
        count: u64,
        deadline: Option<Instant>,
    ) -> CacheResult<Wait> {
        let GroupKey { stream, group } = place.key.clone();
        let address = Address {
            stream,
            group: Some(group),
            number: place.number,
        };
        let (presence, leaver) = presence(&self.hold);
        self.wait(deadline, None, address, Some(leaver), |waiter| {
            Message::ReadGroup(Consumer {
                waiter,
                place,
                presence,
                name,
                count,
            })
        })
    }

    fn wait(
        &self,
        deadline: Option<Instant>,
        last_id: Option<String>,
        address: Address,
        leaver: Option<Leaver>,
        message: impl FnOnce(Waiter) -> Message,
    ) -> CacheResult<Wait> {
        let permit = self.permit()?;
        let (answer, receiver) = oneshot::channel();
        let waiter = Waiter {
            deadline,
            answer,
            _permit: permit,
        };
        self.task
            .send(message(waiter))
            .map_err(|_| error::hub_ended())?;
        let hub = self.task.clone();
        Ok(Wait::new(receiver, last_id, hub, address, leaver))
    }

    fn permit(&self) -> CacheResult<OwnedSemaphorePermit> {
        Arc::clone(&self.waits)
            .try_acquire_owned()
            .map_err(|_| CacheError::backend(code::OVERLOADED, "too many wait or follow already"))
    }
}
