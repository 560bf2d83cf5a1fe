//! A call that waits for an entry.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use streamgate_protocol::{CacheError, CacheResult, Reply};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::memory_streams::lock;
use crate::store::{Answer, Engine};
use crate::stream::Entry;

/// Where a waiting call is noted.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) stream: String,
    pub(crate) group: Option<String>,
    pub(crate) number: u64,
}

/// What a waiting call is given to wait with.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) place: Place,
    /// An add answers with the entry it added: had there been more, the call had not waited.
    pub(crate) receiver: oneshot::Receiver<Arc<Entry>>,
    /// 0 for no limit.
    pub(crate) block_ms: u64,
    /// Of a reader: the id to read after.
    pub(crate) asked: Option<String>,
}

/// A waiting call. Dropped, it leaves its place.
pub(crate) struct Wait<'a> {
    engine: &'a Mutex<Engine>,
    ticket: Ticket,
    deadline: Option<Instant>,
    /// Whether the place may still be taken.
    noted: bool,
}

impl<'a> Wait<'a> {
    /// The time runs from here, not from the first poll.
    pub(crate) fn new(engine: &'a Mutex<Engine>, ticket: Ticket) -> Self {
        let limit = Some(ticket.block_ms)
            .filter(|&ms| ms > 0)
            .map(Duration::from_millis);
        // A limit beyond the end of the clock is none.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        Self {
            engine,
            ticket,
            deadline,
            noted: true,
        }
    }

    /// The entry that ends the wait, or none when the time is over.
    pub(crate) async fn reply(mut self) -> CacheResult<Reply> {
        let receiver = &mut self.ticket.receiver;
        let answer = match self.deadline {
            None => Some(receiver.await),
            Some(deadline) => timeout_at(deadline, receiver).await.ok(),
        };
        let entry = match answer {
            Some(Ok(entry)) => {
                self.noted = false;
                Some(entry)
            }
            // Unreachable: the engine outlives this borrow and drops no sender unused.
            Some(Err(_)) => return Err(CacheError::InternalError("a wait was lost".to_owned())),
            // An add may have answered after the timer; nothing can once the place is left.
            None => {
                self.leave();
                self.ticket.receiver.try_recv().ok()
            }
        };
        let asked = self.ticket.asked.take();
        Ok(Answer::Entries {
            entries: entry.into_iter().collect(),
            asked,
        }
        .into())
    }

    fn leave(&mut self) {
        if self.noted {
            lock(self.engine).leave(&self.ticket.place);
            self.noted = false;
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
