//! What all actors know: the streams, and the phase of the run.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use streamgate_client::{CacheError, CacheResult, Entry};
use streamgate_protocol::error::code;
use streamgate_protocol::limits::MAX_SERVER_FRAME_BYTES;
use tokio::sync::watch;
use tokio::time::Instant;

use streamgate_protocol::EntryId;

use crate::journal::{EntryTag, Outcome};

/// The name of the only field of every entry.
pub(crate) const FIELD: &str = "add";

/// The group of the streams that have one.
pub(crate) const GROUP: &str = "group";

/// Idle time after which a pending entry is reclaimed: shorter than many faults, so that entries
/// are often reclaimed while their consumer still works on them.
pub(crate) const CLAIM_AFTER: Duration = Duration::from_millis(1_000);

/// Deliveries after which an entry goes to the dead-letter stream.
pub(crate) const MAX_DELIVERIES: u64 = 4;

/// The dead-letter stream.
pub(crate) const DEAD_LETTERS: &str = "dead letters";

/// Bytes of padding of the entries that another program writes to Redis: too large for a client
/// with [`SMALL_FRAME_BYTES`], and too large for the server. No writer pads that much.
pub(crate) const LARGE_PADDING: usize = 100_000;
pub(crate) const HUGE_PADDING: usize = 17 << 20;

/// Frame of a client on a runtime with a limit.
pub(crate) const SMALL_FRAME_BYTES: u32 = 64 * 1024;

/// Frame of any other client.
pub(crate) const FRAME_BYTES: u32 = MAX_SERVER_FRAME_BYTES as u32;

/// A call that takes longer hangs. It may wait for 30 s until it is sent, and for as long again
/// after its connection was lost.
pub(crate) const HANG_LIMIT: Duration = Duration::from_secs(90);

/// Pause after an error, so that an actor without a connection does not spin.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// A stream of the run.
pub(crate) struct Stream {
    pub(crate) name: &'static str,
    pub(crate) group: Option<PendingPolicy>,
    /// The length that its writers trim it to.
    pub(crate) maxlen: Option<usize>,
}

/// What happens to a pending entry that its consumer does not acknowledge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PendingPolicy {
    /// It stays pending.
    Keep,
    /// It is reclaimed, and finally goes to the dead-letter stream.
    Reclaim,
}

/// All streams: two that keep everything; one that is trimmed, so that slow tails have gaps; and
/// one with a single tail at each proxy, so that no other reader of that stream can wake it by
/// accident.
pub(crate) const STREAMS: [Stream; 4] = [
    Stream {
        name: "orders",
        group: Some(PendingPolicy::Reclaim),
        maxlen: None,
    },
    Stream {
        name: "payments",
        group: Some(PendingPolicy::Keep),
        maxlen: None,
    },
    Stream {
        name: "recent",
        group: None,
        maxlen: Some(200),
    },
    Stream {
        name: "quiet",
        group: None,
        maxlen: None,
    },
];

/// The phase of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Faults are injected.
    Running,
    /// All faults are over. Each writer ends after one more successful add.
    Finishing,
    /// Nothing is added any more. Readers read up to these last ids, and end.
    Settling(Vec<EntryId>),
    /// All actors end.
    Over,
}

/// What an actor knows of the run.
#[derive(Clone)]
pub(crate) struct RunContext {
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) started: Instant,
    /// The entries that consumers received or were told of, by the stream's index.
    pub(crate) received: Arc<Mutex<HashSet<(usize, EntryId)>>>,
}

impl RunContext {
    pub(crate) fn is_running(&self) -> bool {
        *self.phase.borrow() == Phase::Running
    }

    /// Whether a reader at this position has read all of a stream.
    pub(crate) fn is_read_to_end(&self, stream: usize, position: EntryId) -> bool {
        match &*self.phase.borrow() {
            Phase::Running | Phase::Finishing => false,
            Phase::Settling(last) => position >= last[stream],
            Phase::Over => true,
        }
    }

    pub(crate) fn record_received(&self, stream: usize, ids: impl Iterator<Item = EntryId>) {
        self.received().extend(ids.map(|id| (stream, id)));
    }

    pub(crate) fn has_received(&self, stream: usize, id: EntryId) -> bool {
        self.received().contains(&(stream, id))
    }

    fn received(&self) -> MutexGuard<'_, HashSet<(usize, EntryId)>> {
        // No code panics under the lock.
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes when the faults are over.
    pub(crate) async fn stopped(&self) {
        let mut phase = self.phase.clone();
        // If the sender of the phase is gone, the run is over too.
        let _ = phase.wait_for(|phase| *phase != Phase::Running).await;
    }

    /// Completes when the run is over.
    pub(crate) async fn over(&mut self) {
        // If the sender of the phase is gone, the run is over too.
        let _ = self.phase.wait_for(|phase| *phase == Phase::Over).await;
    }

    /// Returns the time since the start of the run in ms.
    pub(crate) fn now(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_millis()).unwrap_or(u32::MAX)
    }
}

/// Awaits a call that changes something, and returns its outcome.
pub(crate) async fn outcome<T>(call: impl Future<Output = CacheResult<T>>) -> Outcome<T> {
    match tokio::time::timeout(HANG_LIMIT, call).await {
        Ok(Ok(value)) => Outcome::Done(value),
        Ok(Err(error)) if error.code() == code::UNKNOWN_OUTCOME => {
            Outcome::Unknown(error.message().to_owned())
        }
        Ok(Err(error)) => Outcome::Refused(code_of(&error)),
        Err(_) => Outcome::Hung,
    }
}

pub(crate) fn code_of(error: &CacheError) -> String {
    error.code().to_owned()
}

/// Whether a client that takes frames of this size can get an entry with this padding. Paddings
/// and frames are chosen so that what is around the padding does not matter.
pub(crate) fn fits(padding: usize, frame_bytes: u32) -> bool {
    padding < frame_bytes as usize
}

/// Returns the entry that a read failed at because it is too large.
pub(crate) fn too_large_entry(error: &CacheError) -> Option<EntryId> {
    if error.code() != code::LIMIT {
        return None;
    }
    // Calls report it in their message only.
    let (_, rest) = error.message().split_once("the entry ")?;
    let (id, _) = rest.split_once(' ')?;
    EntryId::parse(id).ok()
}

/// Returns an entry as journals have it. One that no writer sends gets a tag that no writer uses.
pub(crate) fn entry(entry: &Entry) -> (EntryId, EntryTag) {
    const FOREIGN: EntryTag = EntryTag {
        writer: u32::MAX,
        number: u32::MAX,
    };
    let tag = match &entry.fields[..] {
        [(name, text)] if *name == FIELD => EntryTag::parse(&text.to_text()),
        _ => None,
    };
    (id_of(&entry.id), tag.unwrap_or(FOREIGN))
}

/// Parses a received id. A malformed one becomes `0-0`, which no entry has.
pub(crate) fn id_of(id: &str) -> EntryId {
    id.parse().unwrap_or_default()
}

/// Returns the id before this one, or `0-0`.
pub(crate) fn before(id: EntryId) -> EntryId {
    id.predecessor().unwrap_or_default()
}
