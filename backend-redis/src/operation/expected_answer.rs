//! Turns the answer to an operation's command into the operation's outcome.

use std::sync::Arc;

use futures_util::FutureExt;
use redis::Value;
use streamgate_protocol::{CacheResult, Entry, Reply};

use crate::connection::command_connection::CommandConnection;
use crate::connection::invalidations::Arming;
use crate::hub::Hub;
use crate::hub::group::admission::FirstAttempt;
use crate::operation::blocking_read::{BlockingGroupRead, BlockingRead};
use crate::operation::bulk_reader::BulkReader;
use crate::operation::entry_sizes::{EntrySizes, SizePlace};
use crate::operation::list_idle::IdleList;
use crate::operation::outcome::{OperationOutcome, Step};
use crate::operation::paged_read::{FirstPageOutcome, PagedRead};
use crate::operation::read_pending::PendingRead;
use crate::operation::remove_consumer::ConsumerRemoval;
use crate::wire::answers;

/// The id before the first entry of an empty stream.
const BEFORE_FIRST: &str = "0-0";

/// What outcomes depend on beside the answers.
#[derive(Clone, Copy)]
pub(crate) struct OutcomeContext<'a> {
    pub(crate) commands: &'a CommandConnection,
    pub(crate) hub: &'a Hub,
    pub(crate) bulk: &'a BulkReader,
    pub(crate) sizes: &'a Arc<EntrySizes>,
}

/// The same for a task.
pub(super) struct SharedOutcomeContext {
    commands: CommandConnection,
    hub: Hub,
    bulk: BulkReader,
    sizes: Arc<EntrySizes>,
}

impl OutcomeContext<'_> {
    pub(super) fn to_shared(self) -> SharedOutcomeContext {
        SharedOutcomeContext {
            commands: self.commands.clone(),
            hub: self.hub.clone(),
            bulk: self.bulk.clone(),
            sizes: Arc::clone(self.sizes),
        }
    }
}

impl SharedOutcomeContext {
    pub(super) const fn context(&self) -> OutcomeContext<'_> {
        OutcomeContext {
            commands: &self.commands,
            hub: &self.hub,
            bulk: &self.bulk,
            sizes: &self.sizes,
        }
    }
}

/// The answer that a command expects.
pub(super) enum ExpectedAnswer {
    Id,
    Done,
    Acknowledged,
    Entries(SizePlace),
    /// The first of several pages. If there are no entries, the read may wait. On the heap, as other
    /// operations of several round trips: every operation of a batch would have room for it.
    FirstPage(Box<PagedRead>, Option<BlockingRead>),
    /// Entries after an id. If there are none, the read may wait.
    ReadAfter {
        place: SizePlace,
        last_id: String,
        wait: Option<BlockingRead>,
    },
    /// The last entry, whose id `$` stands for. The read may wait from there.
    ReadFromEnd {
        wait: Option<BlockingRead>,
    },
    /// Entries of a group. If there are none, the group read may wait.
    ReadGroup {
        place: SizePlace,
        wait: Option<(FirstAttempt, BlockingGroupRead)>,
    },
    /// Ids of a consumer's pending entries.
    ReadPending(Box<PendingRead>),
    PendingSummary,
    Pending,
    /// A page of pending entries, idle or not.
    IdleList(Box<IdleList>),
    Claimed(SizePlace),
    Consumers,
    Removal(Box<ConsumerRemoval>),
}

impl ExpectedAnswer {
    /// Turns the answer into the operation's outcome. `arming` is present if commands before it have
    /// armed the stream.
    pub(super) fn outcome(
        self,
        value: Value,
        arming: Option<Arming>,
        OutcomeContext {
            commands,
            hub,
            bulk,
            sizes,
        }: OutcomeContext<'_>,
    ) -> OperationOutcome {
        let observed = |place, entries: CacheResult<Vec<Entry>>| {
            let entries = entries?;
            sizes.observe_entries(place, &entries);
            Ok(entries)
        };
        let result = match self {
            Self::Id => answers::id(value).map(|id| Reply::Added { id }),
            Self::Done => answers::done(value).map(|()| Reply::Done {}),
            Self::Acknowledged => answers::number(value).map(|count| Reply::Acknowledged { count }),
            Self::Entries(place) => observed(place, answers::entries(value)).map(Reply::entries),
            Self::FirstPage(mut read, wait) => match (read.take_first(value, sizes), wait) {
                (Ok(FirstPageOutcome::Nothing), Some(wait)) => {
                    return wait.wait(read.into_last_id(), None, arming, hub);
                }
                (Ok(FirstPageOutcome::More), _) => {
                    let rest = read.finish(bulk.clone()).boxed();
                    return OperationOutcome::Continuing(rest);
                }
                (Ok(_), _) => Ok(read.reply()),
                // The rest is read without scripts, by the hub if the read waits.
                (Err(error), wait) if bulk.scripts().record(&error) => {
                    if let Some(wait) = wait {
                        return wait.wait(read.into_last_id(), None, None, hub);
                    }
                    let rest = read.finish(bulk.clone()).boxed();
                    return OperationOutcome::Continuing(rest);
                }
                (Err(error), _) => Err(error),
            },
            Self::ReadAfter {
                place,
                last_id,
                wait,
            } => match (observed(place, answers::stream(value)), wait) {
                (Ok(entries), Some(wait)) if entries.is_empty() => {
                    return wait.wait(last_id, None, arming, hub);
                }
                (entries, _) => entries.map(|entries| {
                    let last_id = entries.last().map_or(last_id, |last| last.id.clone());
                    Reply::Entries {
                        entries,
                        last_id: Some(last_id),
                        more: false,
                    }
                }),
            },
            Self::ReadFromEnd { wait } => match (answers::first_id(value), wait) {
                (Ok(id), wait) => {
                    let last_id = id.unwrap_or_else(|| BEFORE_FIRST.to_owned());
                    match wait {
                        Some(wait) => {
                            let position = Some(last_id.clone());
                            return wait.wait(last_id, position, arming, hub);
                        }
                        None => Ok(Reply::Entries {
                            entries: Vec::new(),
                            last_id: Some(last_id),
                            more: false,
                        }),
                    }
                }
                (Err(error), _) => Err(error),
            },
            Self::ReadGroup { place, wait } => {
                match (observed(place, answers::stream(value)), wait) {
                    (Ok(entries), Some((attempt, wait))) if entries.is_empty() => {
                        return wait.wait(attempt.wait(), arming, hub);
                    }
                    (entries, _) => entries.map(Reply::entries),
                }
            }
            Self::ReadPending(read) => match read.take_list(value) {
                Step::Done(result) => result,
                Step::More(rest) => {
                    let rest = rest.finish(bulk.clone()).boxed();
                    return OperationOutcome::Continuing(rest);
                }
            },
            Self::Consumers => {
                answers::consumers(value).map(|consumers| Reply::Consumers { consumers })
            }
            Self::PendingSummary => answers::summary(value).map(Reply::Summary),
            Self::Pending => answers::pending(value).map(|entries| Reply::Pending { entries }),
            Self::IdleList(list) => match list.take(value) {
                Step::Done(result) => result,
                Step::More(rest) => {
                    let rest = rest.finish(bulk.clone()).boxed();
                    return OperationOutcome::Continuing(rest);
                }
            },
            Self::Claimed(place) => answers::claimed(value).map(|claimed| {
                sizes.observe_entries(place, &claimed.entries);
                Reply::Claimed(claimed)
            }),
            Self::Removal(removal) => match removal.step(value) {
                Step::Done(result) => result,
                Step::More(rest) => {
                    let rest = rest.finish(commands.clone()).boxed();
                    return OperationOutcome::Continuing(rest);
                }
            },
        };
        OperationOutcome::Done(result)
    }
}
