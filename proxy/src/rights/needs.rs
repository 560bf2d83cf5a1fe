//! What each operation and each subscription needs: permissions for names.
//!
//! An operation that is not listed here is refused, whatever the rights. A test has a case for each
//! operation of the golden vectors.

use std::sync::Arc;

use streamgate_protocol::Operation;
use streamgate_protocol::message::Subscription;

use super::apply::Terms;
use super::permission::Permission;

/// A permission for a stream, and where they matter for a group and for consumers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need<'a> {
    pub(super) permission: Permission,
    pub(super) stream: &'a [u8],
    pub(super) group: Option<&'a [u8]>,
    pub(super) consumers: [Option<&'a [u8]>; 2],
}

/// All needs of an operation or a subscription.
#[derive(Debug)]
pub(super) struct Needs<'a> {
    /// What its caller wants to do.
    pub(super) verb: &'static str,
    /// At least one. The first decides on the terms.
    pub(super) list: NeedList<'a>,
}

/// The needs of a wait or a subscription, kept to be checked again.
#[derive(Debug)]
pub(crate) struct OngoingNeeds {
    verb: &'static str,
    list: Vec<OwnedNeed>,
    prefix: Option<Arc<[u8]>>,
}

#[derive(Debug)]
struct OwnedNeed {
    permission: Permission,
    stream: Box<[u8]>,
    group: Option<Box<[u8]>>,
    consumers: [Option<Box<[u8]>>; 2],
}

impl OngoingNeeds {
    /// Copies the needs of what was permitted with these terms.
    pub(super) fn new(needs: &Needs<'_>, terms: &Terms) -> Self {
        let owned = |need: &Need<'_>| OwnedNeed {
            permission: need.permission,
            stream: need.stream.into(),
            group: need.group.map(Into::into),
            consumers: need.consumers.map(|consumer| consumer.map(Into::into)),
        };
        Self {
            verb: needs.verb,
            list: needs.list.iter().map(owned).collect(),
            prefix: terms.prefix.clone(),
        }
    }

    pub(super) fn needs(&self) -> Needs<'_> {
        Needs {
            verb: self.verb,
            list: self.list.iter().map(OwnedNeed::need).collect(),
        }
    }

    /// Returns the prefix with which it was permitted.
    pub(super) fn prefix(&self) -> &Option<Arc<[u8]>> {
        &self.prefix
    }
}

impl OwnedNeed {
    fn need(&self) -> Need<'_> {
        let [first, second] = &self.consumers;
        Need {
            permission: self.permission,
            stream: &self.stream,
            group: self.group.as_deref(),
            consumers: [first.as_deref(), second.as_deref()],
        }
    }
}

/// What is not listed here: a need that no right fulfils.
const UNKNOWN: (&str, Need<'_>) = (
    "do that",
    Need {
        permission: Permission::Manage,
        stream: super::RESERVED_PREFIX,
        group: None,
        consumers: [None, None],
    },
);

/// Operations have one need or two, which are not worth an allocation.
pub(super) type NeedList<'a> = smallvec::SmallVec<[Need<'a>; 2]>;

impl<'a> Need<'a> {
    fn stream(permission: Permission, stream: &'a [u8]) -> Self {
        Self {
            permission,
            stream,
            group: None,
            consumers: [None, None],
        }
    }

    fn group(permission: Permission, stream: &'a [u8], group: &'a [u8]) -> Self {
        Self {
            group: Some(group),
            ..Self::stream(permission, stream)
        }
    }

    fn consumers(mut self, first: Option<&'a [u8]>, second: Option<&'a [u8]>) -> Self {
        self.consumers = [first, second];
        self
    }
}

/// Returns the needs of an operation.
pub(super) fn needs_of_operation<'a>(operation: &'a Operation<'_>) -> Needs<'a> {
    use Permission::{Add, Claim, Consume, Inspect, Manage, Read, Trim};
    let (verb, need) = match operation {
        Operation::Add { stream, maxlen, .. } | Operation::IdempotentAdd { stream, maxlen, .. } => {
            let mut list = NeedList::new();
            list.push(Need::stream(Add, stream));
            if maxlen.is_some() {
                list.push(Need::stream(Trim, stream));
            }
            return Needs { verb: "add", list };
        }
        Operation::ReadLatest { stream, .. } => ("read_latest", Need::stream(Read, stream)),
        Operation::Read { stream, .. } => ("read", Need::stream(Read, stream)),
        Operation::CreateGroup { stream, group, .. } => {
            ("create_group", Need::group(Manage, stream, group))
        }
        Operation::ReadGroup {
            stream,
            group,
            consumer,
            ..
        } => (
            "read_group",
            Need::group(Consume, stream, group).consumers(Some(consumer), None),
        ),
        // Redis acknowledges for the group, whoever holds the entry: a consumer has no part in it.
        Operation::Ack { stream, group, .. } => ("ack", Need::group(Consume, stream, group)),
        Operation::ReadPending {
            stream,
            group,
            consumer,
            ..
        } => (
            "read_pending",
            Need::group(Consume, stream, group).consumers(Some(consumer), None),
        ),
        Operation::PendingSummary { stream, group } => {
            ("pending_summary", Need::group(Inspect, stream, group))
        }
        Operation::Pending {
            stream,
            group,
            consumer,
            ..
        } => (
            "pending",
            Need::group(Inspect, stream, group).consumers(consumer.as_deref(), None),
        ),
        Operation::Claim {
            stream,
            group,
            consumer,
            ..
        } => (
            "claim",
            Need::group(Claim, stream, group).consumers(Some(consumer), None),
        ),
        Operation::RemoveConsumer {
            stream,
            group,
            consumer,
            new_owner,
        } => (
            "remove_consumer",
            Need::group(Manage, stream, group).consumers(Some(consumer), Some(new_owner)),
        ),
        Operation::Consumers { stream, group } => {
            ("consumers", Need::group(Inspect, stream, group))
        }
        _ => UNKNOWN,
    };
    let mut list = NeedList::new();
    list.push(need);
    Needs { verb, list }
}

/// Returns the needs of a subscription.
pub(super) fn needs_of_subscription<'a>(subscription: &'a Subscription<'_>) -> Needs<'a> {
    use Permission::{Add, Claim, Consume, Manage, Read};
    match subscription {
        Subscription::Tail { stream, .. } => Needs {
            verb: "tail",
            list: NeedList::from_iter([Need::stream(Read, stream)]),
        },
        Subscription::Consume {
            stream,
            group,
            consumer,
            claim_after_ms,
            dead_letter,
            create_from,
            ..
        } => {
            let need =
                |permission| Need::group(permission, stream, group).consumers(Some(consumer), None);
            let mut list = NeedList::from_iter([need(Consume)]);
            list.extend(claim_after_ms.map(|_| need(Claim)));
            list.extend(
                create_from
                    .as_ref()
                    .map(|_| Need::group(Manage, stream, group)),
            );
            let dead_letter = dead_letter.as_deref();
            list.extend(dead_letter.map(|stream| Need::stream(Add, stream)));
            Needs {
                verb: "consume",
                list,
            }
        }
        _ => Needs {
            verb: UNKNOWN.0,
            list: NeedList::from_iter([UNKNOWN.1]),
        },
    }
}
