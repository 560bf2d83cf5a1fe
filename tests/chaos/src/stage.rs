//! What everybody who takes part knows: the streams, and how far the run is.

use std::time::Duration;

use streamgate_client::{CacheError, CacheResult, StreamEntry};
use streamgate_protocol::error::code;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::journal::{Id, Outcome, Text};

/// The name of the only field of every entry.
pub(crate) const FIELD: &str = "add";

/// The group of the streams that have one.
pub(crate) const GROUP: &str = "group";

/// How long an entry is pending before it is taken over: shorter than many faults, so that it often
/// is while its consumer still works on it.
pub(crate) const CLAIM_AFTER: Duration = Duration::from_millis(1_000);

/// Deliveries behind which an entry is given up.
pub(crate) const MAX_DELIVERIES: u64 = 4;

/// Where what was given up goes.
pub(crate) const DEAD_LETTERS: &str = "dead letters";

/// Longest time that a call may take. It may wait for 30 s until it is sent, and for as long again
/// when its connection was lost; what takes longer has been forgotten.
pub(crate) const CALL_PATIENCE: Duration = Duration::from_secs(90);

/// Pause behind an error, so that a lost connection is not asked in a busy loop.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// A stream of the run.
pub(crate) struct Stream {
    pub(crate) name: &'static str,
    pub(crate) group: Option<Rules>,
    /// What its writers trim it to.
    pub(crate) maxlen: Option<usize>,
}

/// What becomes of an entry of a group that its consumer does not acknowledge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// It stays pending.
    Keep,
    /// It is taken over, and given up in the end.
    TakeOver,
}

/// All streams: two that keep everything; one that is trimmed, so that those who are late have gaps
/// to be told of; and one that is only ever followed by a tail of each proxy, which nobody else who
/// comes and asks for that stream can wake.
pub(crate) const STREAMS: [Stream; 4] = [
    Stream {
        name: "orders",
        group: Some(Rules::TakeOver),
        maxlen: None,
    },
    Stream {
        name: "payments",
        group: Some(Rules::Keep),
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

/// How far the run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Everything may fail.
    Running,
    /// All is well again: writers get one more add through, and end.
    Finishing,
    /// Nothing is added any more: whoever reads all reads up to these ids, and ends.
    Settling(Vec<Id>),
    /// Everybody ends.
    Over,
}

/// What a participant knows.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) begun: Instant,
}

impl Stage {
    pub(crate) fn is_running(&self) -> bool {
        *self.phase.borrow() == Phase::Running
    }

    /// Whether all of a stream was read by who has read up to here.
    pub(crate) fn has_read_all(&self, stream: usize, position: Id) -> bool {
        match &*self.phase.borrow() {
            Phase::Running | Phase::Finishing => false,
            Phase::Settling(last) => position >= last[stream],
            Phase::Over => true,
        }
    }

    /// Ready when the run is over.
    pub(crate) async fn over(&mut self) {
        // Without whoever sets the phase it is over too.
        let _ = self.phase.wait_for(|phase| *phase == Phase::Over).await;
    }

    /// Milliseconds since the run began.
    pub(crate) fn now(&self) -> u32 {
        u32::try_from(self.begun.elapsed().as_millis()).unwrap_or(u32::MAX)
    }
}

/// How a call that changes something ended.
pub(crate) async fn outcome<T>(call: impl Future<Output = CacheResult<T>>) -> Outcome<T> {
    match tokio::time::timeout(CALL_PATIENCE, call).await {
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

/// An entry as journals have it. What no writer sends is nobody's.
pub(crate) fn entry((id, fields): &StreamEntry) -> (Id, Text) {
    const NOBODYS: Text = Text {
        writer: u32::MAX,
        number: u32::MAX,
    };
    let text = match &fields[..] {
        [(name, text)] if name == FIELD => Text::parse(text),
        _ => None,
    };
    (id_of(id), text.unwrap_or(NOBODYS))
}

/// An id that came over the wire; one that is none is in no stream.
pub(crate) fn id_of(id: &str) -> Id {
    Id::parse(id).unwrap_or_default()
}
