//! The account of one subscription: what the server may push, and when it is granted more.

use streamgate_protocol::message::{Account, Credit, Item};

/// Pushes without entries that may wait to be taken. They cost no credit, so this is what bounds
/// them: a stream that is made anew again and again under a loop that does not read. Beyond it the
/// subscription ends with `OVERLOADED`.
pub(super) const MAX_FREE_PUSHES: u32 = 1_024;

/// Why a push is a violation that its subscription, or a call, cannot have.
pub(super) const MISFIT: &str = "the server pushed what does not fit";

/// What is to be done with a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Deliver,
    /// It says again what the owner knows.
    Ignore,
    /// The owner takes too little: the subscription ends.
    Overloaded,
    /// The server must not do that.
    Violation(&'static str),
}

/// What is left, what is held, and what can be granted again make up the size. An entry that went
/// beyond the bytes is owed until it is taken, and then granted with the rest.
#[derive(Debug)]
pub(super) struct Window {
    is_tail: bool,
    /// Whether anything was pushed on this connection.
    begun: bool,
    /// Of a tail: where it stands.
    position: Option<String>,
    size: Credit,
    /// What the server was granted, and what it pushed.
    account: Account,
    /// What the owner has not taken yet.
    held: Credit,
    /// The same of those without entries.
    held_free: u32,
    /// Whether a grant is about to be sent.
    is_due: bool,
}

impl Window {
    pub(super) fn new(is_tail: bool, size: Credit) -> Self {
        Self {
            is_tail,
            begun: false,
            position: None,
            size,
            account: Account::new(size),
            held: Credit::default(),
            held_free: 0,
            is_due: false,
        }
    }

    /// Something was pushed.
    pub(super) fn pushed(&mut self, item: &Item) -> Verdict {
        let first = !std::mem::replace(&mut self.begun, true);
        match item {
            Item::Entries { entries, position } if !entries.is_empty() => {
                if position.is_some() && !self.is_tail {
                    return Verdict::Violation(MISFIT);
                }
                self.stands_at(position.as_ref().or_else(|| Some(&entries.last()?.0)));
                for entry in entries {
                    if self.account.left().is_used_up() {
                        return Verdict::Violation("the server pushed more than was granted");
                    }
                    let cost = Credit::of(std::slice::from_ref(entry));
                    self.account.use_up(cost);
                    self.held = self.held.plus(cost);
                }
                return Verdict::Deliver;
            }
            Item::Entries { position, .. } => {
                if !(self.is_tail && first && position.is_some()) {
                    return Verdict::Violation(MISFIT);
                }
                // It has one from its first push ever on.
                if self.position.is_some() {
                    return Verdict::Ignore;
                }
                self.stands_at(position.as_ref());
            }
            Item::Gap(gap) => {
                if !self.is_tail {
                    return Verdict::Violation(MISFIT);
                }
                self.stands_at(Some(&gap.position));
            }
        }
        if self.held_free == MAX_FREE_PUSHES {
            return Verdict::Overloaded;
        }
        self.held_free += 1;
        Verdict::Deliver
    }

    /// The owner took the entries of a push, or a push without any. Whether it has become time for
    /// a grant: not for each entry, but before the server has to wait for it.
    pub(super) fn taken(&mut self, taken: Credit) -> bool {
        if taken.entries == 0 {
            self.held_free = self.held_free.saturating_sub(1);
            return false;
        }
        self.held = self.held.minus(taken);
        let (due, size) = (self.due(), self.size);
        // If the server waits for one of the two, all of it is due once all is taken.
        let is_due = due.entries >= size.entries.div_ceil(2) || due.bytes >= size.bytes.div_ceil(2);
        is_due && !std::mem::replace(&mut self.is_due, is_due)
    }

    /// All that can be granted, which then is.
    pub(super) fn grant(&mut self) -> Credit {
        self.is_due = false;
        let due = self.due();
        self.account.grant(due);
        due
    }

    /// Where a tail goes on.
    pub(super) fn position(&self) -> Option<&str> {
        self.position.as_deref()
    }

    /// Entries that there is room for beside those that the owner has not taken.
    pub(super) const fn room(&self) -> u64 {
        self.size.entries.saturating_sub(self.held.entries)
    }

    /// Entries that the owner is given and that were not pushed.
    pub(super) fn found(&mut self, cost: Credit) {
        self.held = self.held.plus(cost);
    }

    /// On another connection, to which this much is granted.
    pub(super) fn resume(&mut self) -> Credit {
        let left = self.size.minus(self.held);
        self.account = Account::new(left);
        self.begun = false;
        self.is_due = false;
        left
    }

    fn stands_at(&mut self, position: Option<&String>) {
        if self.is_tail {
            self.position = position.cloned();
        }
    }

    fn due(&self) -> Credit {
        let wanted = self.account.used().plus(self.size).minus(self.held);
        wanted.minus(self.account.granted())
    }
}
