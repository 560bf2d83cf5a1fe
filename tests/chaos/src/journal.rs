//! The journals that actors write, and the final contents of Redis.

use std::collections::BTreeMap;
use std::fmt;

use streamgate_protocol::EntryId;

use crate::pending_history::{PendingHistory, PendingState};

/// The tag that identifies an add: the writer's number, and the number of its earlier adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryTag {
    pub(crate) writer: u32,
    pub(crate) number: u32,
}

/// The outcome of a call that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome<T> {
    Done(T),
    /// `UNKNOWN_OUTCOME`, and why.
    Unknown(String),
    /// Another error, by its code. The call changed nothing.
    Refused(String),
    /// The call did not end in time.
    Hung,
}

/// What entries are padded with.
const PADDING: [u8; 4096] = [b'x'; 4096];

/// One add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Add {
    pub(crate) number: u32,
    /// In ms since the start of the run.
    pub(crate) started: u32,
    pub(crate) ended: u32,
    pub(crate) outcome: Outcome<EntryId>,
}

/// The adds of a writer, in order.
#[derive(Debug, Default)]
pub(crate) struct WriterJournal {
    pub(crate) writer: u32,
    /// The stream's index in `STREAMS`.
    pub(crate) stream: usize,
    /// How long its client retries before a call ends with `UNKNOWN_OUTCOME`, in ms.
    pub(crate) retry_timeout: u32,
    /// The padding of all its entries, if it is another program that writes to Redis.
    pub(crate) foreign_padding: Option<usize>,
    pub(crate) adds: Vec<Add>,
}

/// What a reader of a whole stream recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TailRecord {
    /// It starts or resumes after this id.
    Opened(EntryId),
    Entry(EntryId, EntryTag),
    /// The server skipped this entry, which is too large.
    TooLarge(EntryId),
    /// It skipped to here: it continued from the end of the stream.
    Skipped(EntryId),
    Gap {
        after: EntryId,
        first: Option<EntryId>,
        position: EntryId,
        recreated: bool,
    },
    /// A subscription or read ended with this code.
    Ended(String),
}

#[derive(Debug, Default)]
pub(crate) struct TailJournal {
    pub(crate) name: String,
    pub(crate) stream: usize,
    /// Whether it subscribes; otherwise it reads by calls.
    pub(crate) subscribes: bool,
    /// The frames that its client takes.
    pub(crate) frame_bytes: u32,
    /// The message of the last error that ended a subscription or a read.
    pub(crate) last_error: String,
    pub(crate) records: Vec<TailRecord>,
}

/// What a consumer recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConsumerRecord {
    Opened,
    /// With its time, in ms since the start of the run.
    Delivered(EntryId, EntryTag, u32),
    /// A read failed at this entry, which is too large.
    TooLarge(EntryId),
    /// It left at this time. Entries on their way may be pending for it.
    Left(u32),
    Acked(EntryId, Outcome<()>),
    /// A subscription or read ended with this code at this time.
    Ended(String, u32),
}

#[derive(Debug, Default)]
pub(crate) struct ConsumerJournal {
    pub(crate) name: String,
    pub(crate) stream: usize,
    /// Whether it subscribes; otherwise it reads by calls.
    pub(crate) subscribes: bool,
    /// Whether it reclaims idle pending entries of others.
    pub(crate) reclaims: bool,
    /// The frames that its client takes.
    pub(crate) frame_bytes: u32,
    /// The message of the last error that ended a subscription or a read.
    pub(crate) last_error: String,
    pub(crate) records: Vec<ConsumerRecord>,
}

/// The final contents of a stream.
#[derive(Debug, Default)]
pub(crate) struct StreamContents {
    pub(crate) name: String,
    /// Whether its writers trim it, so that old entries are missing.
    pub(crate) is_trimmed: bool,
    pub(crate) entries: Vec<(EntryId, EntryTag)>,
    /// Entries that no writer sends.
    pub(crate) unexpected: Vec<String>,
    pub(crate) group: Option<Group>,
}

/// The final state of a group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) last_delivered: EntryId,
    pub(crate) pending: BTreeMap<EntryId, PendingState>,
    /// Whether its consumers reclaim idle pending entries.
    pub(crate) reclaims: bool,
    /// Its dead letters.
    pub(crate) dead: Vec<DeadLetter>,
    /// Other entries of the dead-letter stream.
    pub(crate) unexpected: Vec<String>,
}

/// A parsed entry of the dead-letter stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    pub(crate) id: EntryId,
    pub(crate) text: EntryTag,
    pub(crate) holder: String,
    pub(crate) deliveries: u64,
}

/// Everything that the checker needs.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Whether Redis may forget what was added.
    pub(crate) may_evict: bool,
    pub(crate) writers: Vec<WriterJournal>,
    pub(crate) tails: Vec<TailJournal>,
    pub(crate) consumers: Vec<ConsumerJournal>,
    pub(crate) streams: Vec<StreamContents>,
    pub(crate) pending_history: PendingHistory,
}

impl EntryTag {
    /// Returns the value of an entry: this tag, and padding.
    pub(crate) fn padded(self, padding: usize) -> String {
        format!("{self}:{padding}:{}", "x".repeat(padding))
    }

    /// Parses a value that [`padded`](Self::padded) made; `None` if a byte is wrong or missing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let (writer, number) = parts.next()?.split_once('-')?;
        let (padding, rest): (usize, _) = (parts.next()?.parse().ok()?, parts.next()?);
        // In pieces, which are compared fast without optimizations too.
        let is_padding = |piece: &[u8]| piece == &PADDING[..piece.len()];
        if rest.len() != padding || !rest.as_bytes().chunks(PADDING.len()).all(is_padding) {
            return None;
        }
        Some(Self {
            writer: writer.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

impl fmt::Display for EntryTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.writer, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_parsed_only_from_a_complete_value() {
        let text = EntryTag {
            writer: 3,
            number: 17,
        };
        for padding in [0, 1, 1000] {
            let padded = text.padded(padding);
            assert_eq!(EntryTag::parse(&padded), Some(text));
            assert_eq!(EntryTag::parse(&padded[..padded.len() - 1]), None);
            assert_eq!(EntryTag::parse(&format!("{padded}x")), None);
        }
        for wrong in ["", "3-17", "3-17:1", "3-17:1:y", "3:0:", "a-1:0:"] {
            assert_eq!(EntryTag::parse(wrong), None, "{wrong}");
        }
    }
}
