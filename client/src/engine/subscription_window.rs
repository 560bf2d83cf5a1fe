//! Flow control of one subscription: what the server may push, and when it is granted more credit.
//!
//! Credit is granted by halves of the window, after the owner took that much. A tail's window is a
//! thousand entries or 1 MiB. A consumer's window is one batch: while it works on one batch, only
//! one more is on its way, and the rest is left to the other consumers of the group.

use streamgate_protocol::entry_id::EntryId;
use streamgate_protocol::message::{Account, Credit, Item};

/// The items without entries that may wait for the owner. They cost no credit, so this bounds them:
/// a stream that is recreated again and again under a loop that does not read. If there are more,
/// the subscription ends with `OVERLOADED`.
pub(super) const MAX_FREE_ITEMS: u32 = 1_024;

/// The violation by an item that the subscription, or a request, cannot receive.
pub(super) const UNEXPECTED_ITEM: &str = "the server pushed an item of the wrong kind";

const TOO_MUCH: &str = "the server pushed more than was granted";

/// What to do with an item that the server pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PushVerdict {
    Deliver,
    /// The owner knows it already.
    Ignore,
    /// The server created a consumer's group again: nothing of the old one is pending any more.
    GroupRecreated,
    /// The owner takes too little: the subscription ends.
    Overloaded,
    /// The server violates the protocol.
    Violation(&'static str),
}

/// The credit left, the entries that wait for the owner, and the credit that is due make up the
/// size. The bytes by which an entry exceeded the window are owed until the owner takes that entry,
/// and then granted with the rest.
#[derive(Debug)]
pub(super) struct SubscriptionWindow {
    is_tail: bool,
    /// Whether it has a position: a tail, and a consumer that creates its group at `$`.
    has_position: bool,
    /// Whether the server pushed anything on this connection.
    received_any: bool,
    position: Option<String>,
    size: Credit,
    /// The credit that the server was granted and used.
    account: Account,
    /// The entries that wait for the owner.
    unconsumed: Credit,
    /// The items without entries that wait for the owner.
    unconsumed_free: u32,
    /// Whether a grant is about to be sent.
    is_grant_due: bool,
}

impl SubscriptionWindow {
    pub(super) fn new(is_tail: bool, has_position: bool, size: Credit) -> Self {
        Self {
            is_tail,
            has_position,
            received_any: false,
            position: None,
            size,
            account: Account::new(size),
            unconsumed: Credit::default(),
            unconsumed_free: 0,
            is_grant_due: false,
        }
    }

    /// Accounts for an item that the server pushed.
    pub(super) fn receive(&mut self, item: &Item) -> PushVerdict {
        let is_first = !std::mem::replace(&mut self.received_any, true);
        match item {
            Item::Entries { entries, position } if !entries.is_empty() => {
                if position.is_some() && !self.has_position {
                    return PushVerdict::Violation(UNEXPECTED_ITEM);
                }
                self.set_position(position.as_ref().or_else(|| Some(&entries.last()?.id)));
                for entry in entries {
                    if self.account.left().is_used_up() {
                        return PushVerdict::Violation(TOO_MUCH);
                    }
                    let cost = Credit::of(std::slice::from_ref(entry));
                    self.account.use_up(cost);
                    self.unconsumed = self.unconsumed.plus(cost);
                }
                return PushVerdict::Deliver;
            }
            Item::Entries { position, .. } => {
                let is_expected = self.has_position && (is_first || !self.is_tail);
                if !is_expected || position.is_none() {
                    return PushVerdict::Violation(UNEXPECTED_ITEM);
                }
                // A tail that was subscribed before has a position.
                if self.is_tail && self.position.is_some() {
                    return PushVerdict::Ignore;
                }
                self.set_position(position.as_ref());
                if !self.is_tail {
                    return if is_first {
                        PushVerdict::Ignore
                    } else {
                        PushVerdict::GroupRecreated
                    };
                }
            }
            Item::Gap(gap) => {
                if !self.is_tail {
                    return PushVerdict::Violation(UNEXPECTED_ITEM);
                }
                self.set_position(Some(&gap.position));
            }
            Item::Skipped(skipped) => {
                if self.account.left().is_used_up() {
                    return PushVerdict::Violation(TOO_MUCH);
                }
                // A consumer's may be a reclaimed one.
                if self.is_tail {
                    self.set_position(Some(&skipped.id));
                }
                self.account.use_up(item.cost());
                self.unconsumed = self.unconsumed.plus(item.cost());
                return PushVerdict::Deliver;
            }
            _ => return PushVerdict::Violation(UNEXPECTED_ITEM),
        }
        if self.unconsumed_free == MAX_FREE_ITEMS {
            return PushVerdict::Overloaded;
        }
        self.unconsumed_free += 1;
        PushVerdict::Deliver
    }

    /// Records that the owner took an item. Returns whether a grant has become due: not after each
    /// entry, but before the server has to wait for it.
    pub(super) fn consume(&mut self, taken: Credit) -> bool {
        if taken.entries == 0 {
            self.unconsumed_free = self.unconsumed_free.saturating_sub(1);
            return false;
        }
        self.unconsumed = self.unconsumed.minus(taken);
        let (due, size) = (self.due(), self.size);
        // If the server waits for either, all of it is due once the owner took everything.
        let is_due = due.entries >= size.entries.div_ceil(2) || due.bytes >= size.bytes.div_ceil(2);
        is_due && !std::mem::replace(&mut self.is_grant_due, is_due)
    }

    /// Grants all credit that is due, and returns it.
    pub(super) fn grant(&mut self) -> Credit {
        self.is_grant_due = false;
        let due = self.due();
        self.account.grant(due);
        due
    }

    /// Returns where a tail continues, or what a consumer's `$` stands for.
    pub(super) fn position(&self) -> Option<&str> {
        self.position.as_deref()
    }

    /// Returns how many entries fit beside those that wait for the owner.
    pub(super) const fn room(&self) -> u64 {
        self.size.entries.saturating_sub(self.unconsumed.entries)
    }

    /// Returns how many entries wait for the owner.
    pub(super) const fn unconsumed_entries(&self) -> u64 {
        self.unconsumed.entries
    }

    /// Accounts for entries that the owner receives although they were not pushed.
    pub(super) fn add_recovered(&mut self, cost: Credit) {
        self.unconsumed = self.unconsumed.plus(cost);
    }

    /// Moves a consumer's position past entries that a recovery found, so that the group is not
    /// created before them.
    pub(super) fn record_recovered(&mut self, last: &str) {
        if let Some(position) = &mut self.position
            && EntryId::parse(position).ok() < EntryId::parse(last).ok()
        {
            last.clone_into(position);
        }
    }

    /// Starts a new account for another subscribe, and returns the credit to grant with it.
    pub(super) fn resume(&mut self) -> Credit {
        let left = self.size.minus(self.unconsumed);
        self.account = Account::new(left);
        self.received_any = false;
        self.is_grant_due = false;
        left
    }

    fn set_position(&mut self, position: Option<&String>) {
        if self.has_position {
            self.position = position.cloned();
        }
    }

    fn due(&self) -> Credit {
        let wanted = self.account.used().plus(self.size).minus(self.unconsumed);
        wanted.minus(self.account.granted())
    }
}
