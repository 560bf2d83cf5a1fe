//! What came of an operation, in words that both sides share.

use streamgate_protocol::StreamEntry;

/// What an operation gives. Ids are replaced by how many entries the stream got before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Added(usize),
    Entries(Vec<(Name, Vec<(String, String)>)>),
    Done,
    Acknowledged(u64),
    Error(String),
}

/// What an entry's id is called.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// The n-th that was added to its stream.
    Nth(usize),
    /// One that no add has returned, which would be an error of its side.
    Unknown(String),
}

impl Outcome {
    /// Of a read: the entries' ids are named by `name`.
    pub(crate) fn entries(entries: Vec<StreamEntry>, name: impl Fn(&str) -> Name) -> Self {
        Self::Entries(
            entries
                .into_iter()
                .map(|(id, fields)| (name(&id), fields))
                .collect(),
        )
    }

    /// `added`, `entries`, `empty`, `done`, `acknowledged` or the error's code.
    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Added(_) => "added",
            Self::Entries(entries) if entries.is_empty() => "empty",
            Self::Entries(_) => "entries",
            Self::Done => "done",
            Self::Acknowledged(_) => "acknowledged",
            Self::Error(code) => code,
        }
    }
}
