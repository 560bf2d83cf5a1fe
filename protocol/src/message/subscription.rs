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

#[cfg(test)]
mod tests {
    use super::*;

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
