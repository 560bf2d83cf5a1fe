//! The two sides generate different ids, because their clocks differ. So an id is planned as the
//! n-th of its stream, and each side has its own table.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use streamgate_protocol::Operation;

use crate::generate::Planned;
use crate::outcome::Name;

/// An id to be sent.
#[derive(Debug, Clone)]
pub(crate) enum Id {
    /// As it is.
    Text(String),
    /// The id of one of the entries that were added to the stream: that many from the last.
    Added { from_last: usize, spelled: Spelling },
    /// The greatest id below that one. Whether or not it is an entry's, what follows is the same.
    Before { from_last: usize },
}

/// One id may be written in more than one way.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spelling {
    Plain,
    ZeroPadded,
    WithBlanks,
    WithPlus,
}

/// The ids that one side gave, by stream.
#[derive(Default)]
pub(crate) struct Ids(HashMap<String, Vec<(u64, u64)>>);

impl Ids {
    /// The operation with this side's ids in it.
    pub(crate) fn resolve(&self, planned: &Planned) -> Operation<'static> {
        let mut operation = planned.operation.clone();
        let stream = operation.stream().to_owned();
        let texts = planned.ids.iter().map(|id| self.text(&stream, id).into());
        match &mut operation {
            Operation::Read { last_id: id, .. }
            | Operation::CreateGroup { id, .. }
            | Operation::ReadPending { after: id, .. } => {
                texts.into_iter().for_each(|text| *id = text);
            }
            Operation::Ack { ids, .. } => *ids = texts.collect(),
            Operation::Add { .. }
            | Operation::AddOnce { .. }
            | Operation::ReadLatest { .. }
            | Operation::ReadGroup { .. }
            | Operation::PendingSummary { .. }
            | Operation::Pending { .. }
            | Operation::Claim { .. }
            | Operation::RemoveConsumer { .. } => {}
        }
        operation
    }

    /// Notes an added entry and returns how many were there before it.
    pub(crate) fn added(&mut self, stream: &str, id: &str) -> anyhow::Result<usize> {
        let ids = self.0.entry(stream.to_owned()).or_default();
        let id = parse(id).with_context(|| format!("an add returned {id:?}"))?;
        ensure!(
            ids.last().is_none_or(|last| *last < id),
            "{id:?} is not after {ids:?}"
        );
        ids.push(id);
        Ok(ids.len() - 1)
    }

    pub(crate) fn name(&self, stream: &str, id: &str) -> Name {
        let position = self.0.get(stream).and_then(|ids| {
            let id = parse(id)?;
            ids.iter().position(|known| *known == id)
        });
        position.map_or_else(|| Name::Unknown(id.to_owned()), Name::Nth)
    }

    /// The id that `$` stands for.
    pub(crate) fn last(&self, stream: &str) -> String {
        let (ms, seq) = self
            .0
            .get(stream)
            .and_then(|ids| ids.last())
            .copied()
            .unwrap_or_default();
        format!("{ms}-{seq}")
    }

    fn text(&self, stream: &str, id: &Id) -> String {
        let nth = |from_last: usize| {
            let ids = self.0.get(stream)?;
            ids.get(ids.len().checked_sub(from_last + 1)?).copied()
        };
        match id {
            Id::Text(text) => text.clone(),
            Id::Added { from_last, spelled } => {
                let (ms, seq) = nth(*from_last).unwrap_or_default();
                match spelled {
                    Spelling::Plain => format!("{ms}-{seq}"),
                    Spelling::ZeroPadded => format!("00{ms}-0{seq}"),
                    Spelling::WithBlanks => format!("\t {ms}- {seq}"),
                    Spelling::WithPlus => format!("+{ms}-+{seq}"),
                }
            }
            Id::Before { from_last } => match nth(*from_last).unwrap_or_default() {
                (0, 0) => "0".to_owned(),
                (ms, 0) => format!("{}-{}", ms - 1, u64::MAX),
                (ms, seq) => format!("{ms}-{}", seq - 1),
            },
        }
    }
}

/// Ids that come from a server are written plainly.
fn parse(id: &str) -> Option<(u64, u64)> {
    let (ms, seq) = id.split_once('-')?;
    let parsed = (ms.parse().ok()?, seq.parse().ok()?);
    (format!("{}-{}", parsed.0, parsed.1) == id).then_some(parsed)
}
