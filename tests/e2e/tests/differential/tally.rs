//! What the sequences came across, so that a run that meets nothing fails.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::ensure;
use streamgate_protocol::Operation;

use crate::generate::{Planned, Step};
use crate::outcome::Outcome;

/// What a run of ordinary length must have met.
const EXPECTED: &[(&str, &str)] = &[
    ("add", "added"),
    ("add", "ERR"),
    ("read_latest", "entries"),
    ("read_latest", "empty"),
    ("read", "entries"),
    ("read", "empty"),
    ("read", "ERR"),
    ("create_group", "done"),
    ("create_group", "ERR"),
    ("create_group", "BUSYGROUP"),
    ("read_group", "entries"),
    ("read_group", "empty"),
    ("read_group", "NOGROUP"),
    ("read_pending", "entries"),
    ("read_pending", "empty"),
    ("read_pending", "NOGROUP"),
    ("read_pending", "ERR"),
    ("ack", "acknowledged"),
    ("ack", "ERR"),
    ("waiting read", "entries"),
    ("waiting read", "empty"),
    ("waiting read_group", "entries"),
    ("waiting read_group", "empty"),
];

/// How often each operation came to each kind of outcome.
#[derive(Default)]
pub(crate) struct Tally(BTreeMap<(&'static str, String), usize>);

impl Tally {
    pub(crate) fn count(&mut self, step: &Step, outcomes: &[Outcome]) {
        let names: Vec<_> = match step {
            Step::One(planned) => vec![name(planned, false)],
            Step::Waits { waits, add } => {
                let waits = waits.iter().map(|planned| name(planned, true));
                std::iter::once(name(add, false)).chain(waits).collect()
            }
        };
        for (name, outcome) in names.into_iter().zip(outcomes) {
            *self.0.entry((name, outcome.kind().to_owned())).or_default() += 1;
        }
    }

    /// Fails unless everything was met.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        for &(name, kind) in EXPECTED {
            ensure!(
                self.0.contains_key(&(name, kind.to_owned())),
                "no {name} came to {kind}"
            );
        }
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|((name, kind), times)| writeln!(f, "{times:6} {name}: {kind}"))
    }
}

fn name(planned: &Planned, waits: bool) -> &'static str {
    match (&planned.operation, waits) {
        (Operation::Add { .. }, _) => "add",
        (Operation::ReadLatest { .. }, _) => "read_latest",
        (Operation::Read { .. }, false) => "read",
        (Operation::Read { .. }, true) => "waiting read",
        (Operation::CreateGroup { .. }, _) => "create_group",
        (Operation::ReadGroup { .. }, false) => "read_group",
        (Operation::ReadGroup { .. }, true) => "waiting read_group",
        (Operation::Ack { .. }, _) => "ack",
        (Operation::ReadPending { .. }, _) => "read_pending",
        (other, _) => unreachable!("not generated: {other:?}"),
    }
}
