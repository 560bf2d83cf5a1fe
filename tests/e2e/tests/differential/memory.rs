//! The side under test.

use anyhow::{Context, bail, ensure};
use futures_util::FutureExt;
use streamgate_backend::{Backend, PerformOptions, Progress};
use streamgate_memory::MemoryStreams;
use streamgate_protocol::{CacheResult, Operation, Reply, StreamEntry};

use crate::generate::Step;
use crate::ids::Ids;
use crate::outcome::Outcome;

pub(crate) struct MemorySide(MemoryStreams);

impl MemorySide {
    pub(crate) fn new() -> Self {
        Self(MemoryStreams::new())
    }

    pub(crate) async fn perform(
        &mut self,
        step: &Step,
        ids: &mut Ids,
    ) -> anyhow::Result<Vec<Outcome>> {
        match step {
            Step::One(planned) => {
                let operation = ids.resolve(planned);
                let progress = self.ask(operation.clone())?;
                Ok(vec![outcome(&operation, progress.finish().await, ids)?])
            }
            Step::Waits { waits, add } => {
                let mut asked = Vec::new();
                for planned in waits {
                    let operation = ids.resolve(planned);
                    asked.push((operation.clone(), self.ask(operation)?));
                }
                let add = ids.resolve(add);
                let added = self.ask(add.clone())?.finish().await;
                let mut outcomes = vec![outcome(&add, added, ids)?];
                for (operation, progress) in asked {
                    // Whoever is not answered at once is not answered.
                    outcomes.push(match progress.finish().now_or_never() {
                        Some(result) => outcome(&operation, result, ids)?,
                        None => Outcome::Entries(Vec::new()),
                    });
                }
                Ok(outcomes)
            }
        }
    }

    fn ask(&self, operation: Operation<'static>) -> anyhow::Result<Progress<'_>> {
        let progress = self
            .0
            .perform(vec![operation], PerformOptions::default())
            .now_or_never();
        progress
            .context("asking waits")?
            .pop()
            .context("nothing came of it")
    }
}

fn outcome(
    operation: &Operation<'_>,
    result: CacheResult<Reply>,
    ids: &mut Ids,
) -> anyhow::Result<Outcome> {
    let stream = operation.stream();
    Ok(match result {
        Ok(Reply::Added { id }) => Outcome::Added(ids.added(stream, &id)?),
        Ok(Reply::Entries {
            entries, last_id, ..
        }) => {
            if let Operation::Read { last_id: asked, .. } = operation {
                let next = match entries.last() {
                    Some(last) => last.id.clone(),
                    None if **asked == *"$" => ids.last(stream).to_string(),
                    None => asked.to_string(),
                };
                ensure!(
                    last_id.as_ref() == Some(&next),
                    "{last_id:?} is not {next:?}"
                );
            } else {
                ensure!(
                    last_id.is_none(),
                    "{last_id:?} is for reads without a group"
                );
            }
            let entries = entries.into_iter().map(StreamEntry::from).collect();
            Outcome::entries(entries, |id| ids.name(stream, id))
        }
        Ok(Reply::Done {}) => Outcome::Done,
        Ok(Reply::Acknowledged { count }) => Outcome::Acknowledged(count),
        Ok(other) => bail!("of no operation that is generated: {other:?}"),
        Err(error) if error.code() == "INTERNAL" => bail!(error),
        Err(error) => Outcome::Error(error.code().to_owned()),
    })
}
