//! Credit: how much a server may push to a subscription.

use crate::entry::Entry;

/// How much a server may push. Once either part is used up, the server pushes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Credit {
    /// The number of entries.
    pub entries: u64,
    /// The number of bytes, as [`entry_bytes`] counts them. The last entry may exceed it.
    pub bytes: u64,
}

/// The credit account of one subscription, which both sides keep.
///
/// It holds sums. If the last entry exceeds the credit, the next grants pay for the rest. So both
/// sides arrive at the same balance, in whatever order pushes and grants pass each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    granted: Credit,
    used: Credit,
}

/// Returns the bytes of credit that an entry costs: those of its id, its names and its values.
pub fn entry_bytes(entry: &Entry) -> u64 {
    let fields = entry.fields.iter().map(|(n, v)| n.len() + v.len());
    (entry.id.len() + fields.sum::<usize>()) as u64
}

impl Credit {
    /// Credit without a bound.
    pub const UNLIMITED: Self = Self {
        entries: u64::MAX,
        bytes: u64::MAX,
    };

    /// Returns whether either part is used up, so that nothing may be pushed.
    pub const fn is_used_up(self) -> bool {
        self.entries == 0 || self.bytes == 0
    }

    /// Adds credit. A sum beyond 64 bits has no bound.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self {
            entries: self.entries.saturating_add(more.entries),
            bytes: self.bytes.saturating_add(more.bytes),
        }
    }

    /// Subtracts credit, down to 0.
    #[must_use]
    pub const fn minus(self, used: Self) -> Self {
        Self {
            entries: self.entries.saturating_sub(used.entries),
            bytes: self.bytes.saturating_sub(used.bytes),
        }
    }

    /// Returns how many of the entries fit: all up to the one that uses up the credit.
    pub fn fitting(self, entries: &[Entry]) -> usize {
        let most = usize::try_from(self.entries).unwrap_or(usize::MAX);
        if self.bytes == u64::MAX {
            return entries.len().min(most);
        }
        let mut bytes = self.bytes;
        let fits = |entry: &&Entry| {
            let left = bytes > 0;
            bytes = bytes.saturating_sub(entry_bytes(entry));
            left
        };
        entries.iter().take(most).take_while(fits).count()
    }

    /// Returns the cost of entries.
    pub fn of(entries: &[Entry]) -> Self {
        Self {
            entries: entries.len() as u64,
            bytes: entries.iter().map(entry_bytes).sum(),
        }
    }
}

impl Account {
    /// Opens an account with a first grant.
    pub const fn new(granted: Credit) -> Self {
        Self {
            granted,
            used: Credit {
                entries: 0,
                bytes: 0,
            },
        }
    }

    /// Returns the credit that is left.
    pub const fn left(self) -> Credit {
        self.granted.minus(self.used)
    }

    /// Returns the sum of all grants.
    pub const fn granted(self) -> Credit {
        self.granted
    }

    /// Returns the sum of all costs.
    pub const fn used(self) -> Credit {
        self.used
    }

    /// Adds a grant.
    pub const fn grant(&mut self, more: Credit) {
        self.granted = self.granted.plus(more);
    }

    /// Subtracts the cost of a push.
    pub const fn use_up(&mut self, cost: Credit) {
        self.used = self.used.plus(cost);
        // Credit without a bound is never used up.
        if self.granted.entries == u64::MAX {
            self.used.entries = 0;
        }
        if self.granted.bytes == u64::MAX {
            self.used.bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_neither_overflows_nor_goes_below_nothing() {
        let some = Credit {
            entries: 3,
            bytes: 10,
        };
        assert_eq!(some.plus(Credit::UNLIMITED), Credit::UNLIMITED);
        assert_eq!(some.minus(Credit::UNLIMITED), Credit::default());
        assert!(
            some.minus(Credit {
                entries: 3,
                bytes: 0
            })
            .is_used_up()
        );
        assert!(
            some.minus(Credit {
                entries: 0,
                bytes: 10
            })
            .is_used_up()
        );
        assert!(!some.is_used_up());
    }

    #[test]
    fn grants_and_pushes_that_pass_each_other_come_to_the_same() {
        let bytes = |bytes| Credit { entries: 1, bytes };
        let (mut server, mut client) = (Account::new(bytes(100)), Account::new(bytes(100)));
        server.use_up(bytes(150));
        assert!(server.left().is_used_up());
        server.grant(bytes(70));
        client.grant(bytes(70));
        client.use_up(bytes(150));
        assert_eq!(server, client);
        assert_eq!(client.left(), bytes(20));
    }

    #[test]
    fn the_entry_that_uses_up_the_bytes_still_fits() {
        let entry = |n| Entry::new(format!("{n}-0"), [("f", "v".repeat(6))]);
        let all: Vec<Entry> = (1..=4).map(entry).collect();
        let fitting = |entries, bytes| Credit { entries, bytes }.fitting(&all);
        assert_eq!(fitting(9, 1), 1);
        assert_eq!(fitting(9, 10), 1);
        assert_eq!(fitting(9, 11), 2);
        assert_eq!(fitting(9, u64::MAX), 4);
        assert_eq!(fitting(3, u64::MAX), 3);
        assert_eq!(fitting(3, 1_000), 3);
        assert_eq!((fitting(0, 1_000), fitting(9, 0)), (0, 0));
    }

    #[test]
    fn an_account_without_a_bound_has_none() {
        let mut account = Account::new(Credit::UNLIMITED);
        account.use_up(Credit::UNLIMITED);
        account.use_up(Credit::UNLIMITED);
        assert_eq!(account.left(), Credit::UNLIMITED);
    }

    #[test]
    fn an_entry_costs_its_texts() {
        let entry = Entry::new("1-2", [("é", "abc"), ("", "d")]);
        let cost = Credit {
            entries: 2,
            bytes: 18,
        };
        assert_eq!(Credit::of(&[entry.clone(), entry]), cost);
    }
}
