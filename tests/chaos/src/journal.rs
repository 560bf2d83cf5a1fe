//! What everybody wrote down, and what was found in the end.

use std::collections::BTreeMap;
use std::fmt;

use crate::watch::Watch;

/// An id of an entry. Ids of one stream are in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) ms: u64,
    pub(crate) seq: u64,
}

/// What one add carries, and no other: a writer's number, and how many it has made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Text {
    pub(crate) writer: u32,
    pub(crate) number: u32,
}

/// How a call that changes something ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome<T> {
    Done(T),
    /// `UNKNOWN_OUTCOME`, and why.
    Unknown(String),
    /// Another error, by its code: nothing was done.
    Refused(String),
    /// It did not end in time.
    Hung,
}

/// One add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Add {
    pub(crate) number: u32,
    /// Milliseconds since the run began.
    pub(crate) began: u32,
    pub(crate) ended: u32,
    pub(crate) outcome: Outcome<Id>,
}

/// What a writer did, in the order in which it asked.
#[derive(Debug, Default)]
pub(crate) struct WriterJournal {
    pub(crate) writer: u32,
    /// The stream's place among all.
    pub(crate) stream: usize,
    /// For how many milliseconds its client asks again before it says that it does not know.
    pub(crate) patience: u32,
    pub(crate) adds: Vec<Add>,
}

/// What somebody saw who reads all of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It begins, or goes on, behind this id.
    Opened(Id),
    Entry(Id, Text),
    /// It wants nothing up to here: it went on from what was the end.
    Skipped(Id),
    Gap {
        after: Id,
        first: Option<Id>,
        position: Id,
        recreated: bool,
    },
    /// It ended with this code.
    Ended(String),
}

#[derive(Debug, Default)]
pub(crate) struct TailJournal {
    pub(crate) name: String,
    pub(crate) stream: usize,
    /// Else it reads by calls.
    pub(crate) subscribes: bool,
    pub(crate) seen: Vec<Seen>,
}

/// What a consumer of the group was given, and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Given {
    Opened,
    /// And when, in milliseconds since the run began.
    Delivered(Id, Text, u32),
    /// It left by itself then; what was on its way may be pending for it.
    Left(u32),
    Acked(Id, Outcome<()>),
    /// It ended with this code, then.
    Ended(String, u32),
}

#[derive(Debug, Default)]
pub(crate) struct ConsumerJournal {
    pub(crate) name: String,
    pub(crate) stream: usize,
    /// Else it reads by calls.
    pub(crate) subscribes: bool,
    /// It takes over what others hold for too long.
    pub(crate) takes_over: bool,
    pub(crate) given: Vec<Given>,
}

/// A stream in the end.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) name: String,
    /// Its writers trim it, so that old entries are gone.
    pub(crate) is_trimmed: bool,
    pub(crate) entries: Vec<(Id, Text)>,
    /// Entries that hold something else than what a writer sends.
    pub(crate) strangers: Vec<String>,
    pub(crate) group: Option<Group>,
}

/// The group of a stream in the end.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) last_delivered: Id,
    /// To whom.
    pub(crate) pending: BTreeMap<Id, String>,
    /// Its consumers take over what others hold for too long.
    pub(crate) takes_over: bool,
    /// What was given up.
    pub(crate) dead: Vec<Letter>,
    /// What else is in the dead-letter stream.
    pub(crate) strangers: Vec<String>,
}

/// What a dead-letter stream says of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) id: Id,
    pub(crate) text: Text,
    pub(crate) holder: String,
    pub(crate) deliveries: u64,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) writers: Vec<WriterJournal>,
    pub(crate) tails: Vec<TailJournal>,
    pub(crate) consumers: Vec<ConsumerJournal>,
    pub(crate) streams: Vec<Content>,
    pub(crate) watch: Watch,
}

impl Id {
    /// The id right before it.
    pub(crate) fn before(self) -> Self {
        match self.seq.checked_sub(1) {
            Some(seq) => Self { seq, ..self },
            None => Self {
                ms: self.ms.saturating_sub(1),
                seq: u64::MAX,
            },
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (ms, seq) = text.split_once('-').unwrap_or((text, "0"));
        Some(Self {
            ms: ms.parse().ok()?,
            seq: seq.parse().ok()?,
        })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl Text {
    /// What an entry holds: this, and padding.
    pub(crate) fn padded(self, padding: usize) -> String {
        format!("{self}:{padding}:{}", "x".repeat(padding))
    }

    /// Reads what [`padded`](Self::padded) makes; nothing, if a byte is missing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let (writer, number) = parts.next()?.split_once('-')?;
        let (padding, rest): (usize, _) = (parts.next()?.parse().ok()?, parts.next()?);
        if rest.len() != padding || rest.bytes().any(|byte| byte != b'x') {
            return None;
        }
        Some(Self {
            writer: writer.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.writer, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_only_if_it_is_whole() {
        let text = Text {
            writer: 3,
            number: 17,
        };
        for padding in [0, 1, 1000] {
            let padded = text.padded(padding);
            assert_eq!(Text::parse(&padded), Some(text));
            assert_eq!(Text::parse(&padded[..padded.len() - 1]), None);
            assert_eq!(Text::parse(&format!("{padded}x")), None);
        }
        for wrong in ["", "3-17", "3-17:1", "3-17:1:y", "3:0:", "a-1:0:"] {
            assert_eq!(Text::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ids_are_in_order() {
        let ids = ["0-0", "0-1", "1", "1-1", "10-0"].map(|id| Id::parse(id).unwrap());
        assert!(ids.is_sorted());
        assert!(ids[2].before() < ids[2] && ids[2].before() > ids[1]);
        assert_eq!(ids[3].before(), ids[2]);
        assert_eq!(Id::parse("$"), None);
    }
}
