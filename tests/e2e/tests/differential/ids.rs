//! Ids in planned operations.
//!
//! The two sides generate different ids, because their clocks differ. So an id is planned as the
//! n-th of its stream, and each side has its own table.

use std::collections::HashMap;

use anyhow::ensure;
use streamgate_protocol::{EntryId, Operation, StartId};

use crate::generate::Planned;
use crate::outcome::Name;

/// An id in a planned operation.
#[derive(Debug, Clone)]
pub(crate) enum Id {
    /// Sent as it is.
    Text(String),
    /// The id of an entry that was added to the stream: that many before the last.
    Added {
        before_last: usize,
        spelling: Spelling,
    },
    /// The greatest id below that one. Whether or not it is an entry's, the same entries follow.
    Below { before_last: usize },
}

/// How an id is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spelling {
    Plain,
    ZeroPadded,
}

/// The ids that one side generated, by stream.
#[derive(Default)]
pub(crate) struct Ids(HashMap<Vec<u8>, Vec<EntryId>>);

impl Ids {
    /// Returns the operation with this side's ids in it.
    pub(crate) fn resolve(&self, planned: &Planned) -> Operation<'static> {
        let mut operation = planned.operation.clone();
        let stream = operation.stream().to_vec();
        let texts = planned.ids.iter().map(|id| self.text(&stream, id).into());
        match &mut operation {
            Operation::Read { last_id: id, .. }
            | Operation::CreateGroup { id, .. }
            | Operation::ReadPending { after: id, .. } => {
                texts.into_iter().for_each(|text| *id = text);
            }
            Operation::Ack { ids, .. } => *ids = texts.collect(),
            // The others name no ids.
            _ => {}
        }
        operation
    }

    /// Records an added entry and returns how many were added before it.
    pub(crate) fn added(&mut self, stream: &[u8], text: &str) -> anyhow::Result<usize> {
        let ids = self.0.entry(stream.to_owned()).or_default();
        let id = EntryId::parse(text)?;
        ensure!(id.to_string() == text, "an add returned {text:?}");
        ensure!(
            ids.last().is_none_or(|last| *last < id),
            "{id} is not after {ids:?}"
        );
        ids.push(id);
        Ok(ids.len() - 1)
    }

    /// Names an entry by its number in the stream.
    pub(crate) fn name(&self, stream: &[u8], text: &str) -> Name {
        let number = self.0.get(stream).and_then(|ids| {
            let number = ids.iter().position(|id| id.to_string() == text)?;
            Some(Name::Nth(number))
        });
        number.unwrap_or_else(|| Name::Unknown(text.to_owned()))
    }

    /// Returns the id that `$` stands for.
    pub(crate) fn last(&self, stream: &[u8]) -> EntryId {
        let ids = self.0.get(stream);
        ids.and_then(|ids| ids.last()).copied().unwrap_or_default()
    }

    fn text(&self, stream: &[u8], id: &Id) -> String {
        let added = |before_last: usize| {
            let ids = self.0.get(stream)?;
            ids.get(ids.len().checked_sub(before_last + 1)?).copied()
        };
        match id {
            Id::Text(text) => text.clone(),
            Id::Added {
                before_last,
                spelling,
            } => {
                let id = added(*before_last).unwrap_or_default();
                match spelling {
                    Spelling::Plain => id.to_string(),
                    Spelling::ZeroPadded => format!("00{}-0{}", id.ms, id.seq),
                }
            }
            Id::Below { before_last } => {
                let below = added(*before_last).and_then(EntryId::predecessor);
                below.unwrap_or_default().to_string()
            }
        }
    }
}

/// Whether an operation names an id that streamgate refuses. Redis takes some of them, and reads
/// none where the group is missing.
pub(crate) fn has_malformed_id(operation: &Operation<'_>) -> bool {
    match operation {
        Operation::Read { last_id: id, .. } | Operation::CreateGroup { id, .. } => {
            StartId::parse(id).is_err()
        }
        Operation::ReadPending { after, .. } => EntryId::parse(after).is_err(),
        Operation::Ack { ids, .. } => ids.iter().any(|id| EntryId::parse(id).is_err()),
        _ => false,
    }
}
