//! Subscriptions as data.

use serde::{Deserialize, Serialize};

use super::Text;
use super::operation::{id, name};
use crate::error::{CacheError, CacheResult, code};
use crate::subscribe::{Gap, TailFrom};
use crate::traits::StreamEntry;

/// What a client subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subscription<'a> {
    /// [`tail`](crate::SubscribingBackend::tail).
    Tail {
        /// The stream's key.
        #[serde(borrow)]
        stream: Text<'a>,
        /// Where it starts.
        #[serde(borrow)]
        from: Start<'a>,
    },
    /// [`consume`](crate::SubscribingBackend::consume).
    Consume {
        /// The stream's key.
        #[serde(borrow)]
        stream: Text<'a>,
        /// The group's name.
        #[serde(borrow)]
        group: Text<'a>,
        /// The consumer's name.
        #[serde(borrow)]
        consumer: Text<'a>,
        /// At most so many entries in a push; at least 1.
        batch: u64,
    },
}

/// Where a tail starts: [`TailFrom`] on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start<'a> {
    /// With the oldest entry there is.
    Beginning {},
    /// With the first entry added from now on.
    Now {},
    /// Behind an id.
    After {
        /// The id.
        #[serde(borrow)]
        id: Text<'a>,
    },
    /// With the last entries that are there.
    Last {
        /// How many.
        count: u64,
    },
}

/// How much a server may push: it sends nothing more once either is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Credit {
    /// Entries.
    pub entries: u64,
    /// Bytes, as [`entry_bytes`] counts them. The last entry may go beyond.
    pub bytes: u64,
}

/// The credit of one subscription, kept alike by both sides. What the last entry takes beyond it is
/// owed, so that the sum is the same in whatever order pushes and grants pass each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    granted: Credit,
    used: Credit,
}

/// What is pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// Entries, oldest first.
    Entries {
        /// None only in the first push of a tail.
        entries: Vec<StreamEntry>,
        /// Of a tail: where it stands, unless that is the last entry's id.
        position: Option<String>,
    },
    /// Of a tail: entries are, or may be, missing here.
    Gap(Gap),
}

/// What an entry costs of a [`Credit`]'s bytes: those of its id, its names and its values.
pub fn entry_bytes((id, fields): &StreamEntry) -> u64 {
    let bytes = id.len() + fields.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>();
    bytes as u64
}

impl Subscription<'_> {
    /// Refuses what no backend may take, with the same error everywhere.
    ///
    /// # Errors
    ///
    /// `LIMIT` for a name longer than its bound, `ERR` for an id longer than its bound and for a
    /// batch of 0.
    pub fn validate(&self) -> CacheResult<()> {
        match self {
            Self::Tail { stream, from } => {
                name("stream key", stream)?;
                match from {
                    Start::After { id: after } => id(after),
                    Start::Beginning {} | Start::Now {} | Start::Last { .. } => Ok(()),
                }
            }
            Self::Consume {
                stream,
                group,
                consumer,
                batch,
            } => {
                name("stream key", stream)?;
                name("group name", group)?;
                name("consumer name", consumer)?;
                if *batch == 0 {
                    return Err(CacheError::from_code(
                        code::ERR,
                        "a batch needs at least one entry",
                    ));
                }
                Ok(())
            }
        }
    }

    /// Whether it changes nothing at the server, so that it may be asked twice.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Tail { .. })
    }

    /// About as many bytes as it holds while it lasts.
    pub fn weight(&self) -> usize {
        match self {
            Self::Tail { stream, .. } => stream.len(),
            Self::Consume {
                stream,
                group,
                consumer,
                ..
            } => stream.len() + group.len() + consumer.len(),
        }
    }

    /// The same subscription, owned.
    pub fn into_owned(self) -> Subscription<'static> {
        match self {
            Self::Tail { stream, from } => Subscription::Tail {
                stream: stream.into_owned(),
                from: from.into_owned(),
            },
            Self::Consume {
                stream,
                group,
                consumer,
                batch,
            } => Subscription::Consume {
                stream: stream.into_owned(),
                group: group.into_owned(),
                consumer: consumer.into_owned(),
                batch,
            },
        }
    }
}

impl Start<'_> {
    /// The same start, owned.
    pub fn into_owned(self) -> Start<'static> {
        match self {
            Self::Beginning {} => Start::Beginning {},
            Self::Now {} => Start::Now {},
            Self::After { id } => Start::After {
                id: id.into_owned(),
            },
            Self::Last { count } => Start::Last { count },
        }
    }
}

impl From<TailFrom> for Start<'_> {
    fn from(from: TailFrom) -> Self {
        match from {
            TailFrom::Beginning => Self::Beginning {},
            TailFrom::Now => Self::Now {},
            TailFrom::After(id) => Self::After { id: id.into() },
            TailFrom::Last(count) => Self::Last {
                count: u64::try_from(count).unwrap_or(u64::MAX),
            },
        }
    }
}

impl From<Start<'_>> for TailFrom {
    fn from(start: Start<'_>) -> Self {
        match start {
            Start::Beginning {} => Self::Beginning,
            Start::Now {} => Self::Now,
            Start::After { id } => Self::After(id.into()),
            Start::Last { count } => Self::Last(usize::try_from(count).unwrap_or(usize::MAX)),
        }
    }
}

impl Credit {
    /// Without a bound.
    pub const UNLIMITED: Self = Self {
        entries: u64::MAX,
        bytes: u64::MAX,
    };

    /// Whether nothing more may be pushed.
    pub const fn is_used_up(self) -> bool {
        self.entries == 0 || self.bytes == 0
    }

    /// With so much more; a sum that no number holds is without a bound.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self {
            entries: self.entries.saturating_add(more.entries),
            bytes: self.bytes.saturating_add(more.bytes),
        }
    }

    /// With so much less, but not below nothing.
    #[must_use]
    pub const fn minus(self, used: Self) -> Self {
        Self {
            entries: self.entries.saturating_sub(used.entries),
            bytes: self.bytes.saturating_sub(used.bytes),
        }
    }

    /// How many of the entries there is room for: all up to the one that uses it up.
    pub fn fitting(self, entries: &[StreamEntry]) -> usize {
        let most = usize::try_from(self.entries).unwrap_or(usize::MAX);
        if self.bytes == u64::MAX {
            return entries.len().min(most);
        }
        let mut bytes = self.bytes;
        let fits = |entry: &&StreamEntry| {
            let left = bytes > 0;
            bytes = bytes.saturating_sub(entry_bytes(entry));
            left
        };
        entries.iter().take(most).take_while(fits).count()
    }

    /// What entries cost.
    pub fn of(entries: &[StreamEntry]) -> Self {
        Self {
            entries: entries.len() as u64,
            bytes: entries.iter().map(entry_bytes).sum(),
        }
    }
}

impl Account {
    /// Nothing is used yet.
    pub const fn new(granted: Credit) -> Self {
        Self {
            granted,
            used: Credit {
                entries: 0,
                bytes: 0,
            },
        }
    }

    /// What may still be pushed.
    pub const fn left(self) -> Credit {
        self.granted.minus(self.used)
    }

    /// All that was ever granted.
    pub const fn granted(self) -> Credit {
        self.granted
    }

    /// All that was ever used.
    pub const fn used(self) -> Credit {
        self.used
    }

    /// Adds what is granted.
    pub const fn grant(&mut self, more: Credit) {
        self.granted = self.granted.plus(more);
    }

    /// Takes off what was pushed.
    pub const fn use_up(&mut self, cost: Credit) {
        self.used = self.used.plus(cost);
        // Without a bound it never comes to an end.
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
        let entry = |n| (format!("{n}-0"), vec![("f".to_owned(), "v".repeat(6))]);
        let all: Vec<StreamEntry> = (1..=4).map(entry).collect();
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
        let entry = (
            "1-2".to_owned(),
            vec![
                ("é".to_owned(), "abc".to_owned()),
                (String::new(), "d".to_owned()),
            ],
        );
        let cost = Credit {
            entries: 2,
            bytes: 18,
        };
        assert_eq!(Credit::of(&[entry.clone(), entry]), cost);
    }

    #[test]
    fn a_batch_of_0_is_refused() {
        let subscription = Subscription::Consume {
            stream: "s".into(),
            group: "g".into(),
            consumer: "c".into(),
            batch: 0,
        };
        assert_eq!(subscription.validate().unwrap_err().code(), "ERR");
    }
}
