//! Subscriptions as data, and the items that they push.

use super::operation::name;
use super::{Credit, Text};
use crate::byte_string::Bytes;
use crate::entry::Entry;
use crate::entry_id::{EntryId, StartId};
use crate::error::{CacheError, CacheResult, code};
use crate::subscribe::{ConsumeOptions, Gap, Skipped, TailFrom};

/// A call of [`SubscribingBackend`](crate::SubscribingBackend), with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subscription<'a> {
    /// [`tail`](crate::SubscribingBackend::tail).
    Tail {
        /// The stream's key.
        stream: Bytes<'a>,
        /// Where the tail starts.
        from: TailStart<'a>,
    },
    /// [`consume`](crate::SubscribingBackend::consume).
    Consume {
        /// The stream's key.
        stream: Bytes<'a>,
        /// The group's name.
        group: Bytes<'a>,
        /// The consumer's name.
        consumer: Bytes<'a>,
        /// The largest number of entries in a push; at least 1.
        batch: u64,
        /// Reclaims entries whose last delivery is at least this many milliseconds ago; at least 1.
        claim_after_ms: Option<u64>,
        /// Moves an entry with this many deliveries to `dead_letter` instead; at least 1.
        max_deliveries: Option<u64>,
        /// The key of the dead-letter stream.
        dead_letter: Option<Bytes<'a>>,
        /// The subscription resumes after a lost connection, so it does not reclaim the consumer's
        /// own entries.
        resumed: Option<bool>,
        /// Creates a missing stream or group after this id, or after the last one if it is `$`.
        create_from: Option<Text<'a>>,
        /// What `$` stands for since an earlier subscription of the same consumer began.
        position: Option<Text<'a>>,
    },
}

/// Where a tail starts: [`TailFrom`] as a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TailStart<'a> {
    /// With the oldest entry.
    Beginning {},
    /// With the first entry added from now on.
    Now {},
    /// After an id.
    After {
        /// The id.
        id: Text<'a>,
    },
    /// With the last N entries.
    Last {
        /// The number of entries.
        count: u64,
    },
}

/// An item that the server pushes to a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// Entries, oldest first.
    Entries {
        /// Empty only in the first push of a tail, and where a consumer's group was created.
        entries: Vec<Entry>,
        /// Of a tail, and of a consumer that creates its group at `$`: the position, unless that is
        /// the last entry's id.
        position: Option<String>,
    },
    /// Of a tail: entries are missing here, or may be.
    Gap(Gap),
    /// An entry that cannot be carried to this client.
    Skipped(Skipped),
}

impl Item {
    /// Returns the credit that pushing the item uses up. A skipped entry uses up no bytes.
    pub fn cost(&self) -> Credit {
        match self {
            Self::Entries { entries, .. } => Credit::of(entries),
            Self::Gap(_) => Credit::default(),
            Self::Skipped(_) => Credit {
                entries: 1,
                bytes: 0,
            },
        }
    }
}

impl Subscription<'_> {
    /// Refuses a subscription that no backend may begin, with the same error everywhere.
    ///
    /// # Errors
    ///
    /// `LIMIT` for a name beyond its bound. `ERR` for a [malformed id](EntryId), a batch of 0, and
    /// an invalid combination of [`ConsumeOptions`].
    pub fn validate(&self) -> CacheResult<()> {
        match self {
            Self::Tail { stream, from } => {
                name("stream key", stream)?;
                match from {
                    TailStart::After { id } => {
                        EntryId::parse(id)?;
                        Ok(())
                    }
                    TailStart::Beginning {} | TailStart::Now {} | TailStart::Last { .. } => Ok(()),
                }
            }
            Self::Consume {
                stream,
                group,
                consumer,
                batch,
                claim_after_ms,
                max_deliveries,
                dead_letter,
                create_from,
                position,
                ..
            } => {
                name("stream key", stream)?;
                name("group name", group)?;
                name("consumer name", consumer)?;
                if let Some(start) = create_from {
                    StartId::parse(start)?;
                }
                if let Some(position) = position {
                    EntryId::parse(position)?;
                }
                let why = match (claim_after_ms, max_deliveries, dead_letter) {
                    _ if *batch == 0 => "a batch needs at least one entry",
                    (None, None, None) | (Some(1..), None, None) => return Ok(()),
                    (Some(1..), Some(1..), Some(key)) if key != stream => {
                        return name("dead-letter stream's key", key);
                    }
                    // One text for all: a browser downloads it.
                    _ => {
                        "the claim time, delivery limit and dead-letter stream do not fit together"
                    }
                };
                Err(CacheError::from_code(code::ERR, why))
            }
        }
    }

    /// Returns whether the subscription changes nothing, so that it may be sent twice.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Tail { .. })
    }

    /// Returns the number of bytes that the subscription holds while it lasts, roughly.
    pub fn weight(&self) -> usize {
        match self {
            Self::Tail { stream, .. } => stream.len(),
            Self::Consume {
                stream,
                group,
                consumer,
                dead_letter,
                ..
            } => {
                let dead_letter = dead_letter.as_ref().map_or(0, |key| key.len());
                stream.len() + group.len() + consumer.len() + dead_letter
            }
        }
    }

    /// Builds the subscription of [`consume`](crate::SubscribingBackend::consume).
    pub fn consume<'a>(
        stream: impl Into<Bytes<'a>>,
        group: impl Into<Bytes<'a>>,
        consumer: impl Into<Bytes<'a>>,
        options: ConsumeOptions,
    ) -> Subscription<'a> {
        Subscription::Consume {
            stream: stream.into(),
            group: group.into(),
            consumer: consumer.into(),
            batch: u64::try_from(options.batch).unwrap_or(u64::MAX),
            claim_after_ms: options.claim_after_ms,
            max_deliveries: options.max_deliveries,
            dead_letter: options.dead_letter.map(Bytes::from),
            resumed: None,
            create_from: options.create_from.map(Text::from),
            position: None,
        }
    }

    /// Copies what is borrowed, and moves what is owned.
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
                claim_after_ms,
                max_deliveries,
                dead_letter,
                resumed,
                create_from,
                position,
            } => Subscription::Consume {
                stream: stream.into_owned(),
                group: group.into_owned(),
                consumer: consumer.into_owned(),
                batch,
                claim_after_ms,
                max_deliveries,
                dead_letter: dead_letter.map(Bytes::into_owned),
                resumed,
                create_from: create_from.map(Text::into_owned),
                position: position.map(Text::into_owned),
            },
        }
    }
}

impl TailStart<'_> {
    /// Copies what is borrowed, and moves what is owned.
    pub fn into_owned(self) -> TailStart<'static> {
        match self {
            Self::Beginning {} => TailStart::Beginning {},
            Self::Now {} => TailStart::Now {},
            Self::After { id } => TailStart::After {
                id: id.into_owned(),
            },
            Self::Last { count } => TailStart::Last { count },
        }
    }
}

impl From<TailFrom> for TailStart<'_> {
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

impl From<TailStart<'_>> for TailFrom {
    fn from(start: TailStart<'_>) -> Self {
        match start {
            TailStart::Beginning {} => Self::Beginning,
            TailStart::Now {} => Self::Now,
            TailStart::After { id } => Self::After(id.into()),
            TailStart::Last { count } => Self::Last(usize::try_from(count).unwrap_or(usize::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byte_string::ByteString;
    use crate::limits::MAX_NAME_BYTES;

    fn refused(options: ConsumeOptions) -> Option<String> {
        let subscription = Subscription::consume("s", "g", "c", options);
        let refused = subscription.validate().err();
        refused.map(|error| error.code().to_owned())
    }

    #[test]
    fn a_batch_of_0_is_refused() {
        let options = ConsumeOptions {
            batch: 0,
            ..ConsumeOptions::default()
        };
        assert_eq!(refused(options).as_deref(), Some("ERR"));
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        let long = "d".repeat(MAX_NAME_BYTES + 1);
        for (claim_after_ms, max_deliveries, dead_letter, expected) in [
            (None, None, None, None),
            (Some(1), None, None, None),
            (Some(1), Some(1), Some("d"), None),
            (Some(0), None, None, Some("ERR")),
            (Some(1), Some(0), Some("d"), Some("ERR")),
            (Some(1), Some(1), None, Some("ERR")),
            (Some(1), None, Some("d"), Some("ERR")),
            (None, None, Some("d"), Some("ERR")),
            (None, Some(1), None, Some("ERR")),
            (None, Some(1), Some("d"), Some("ERR")),
            (Some(1), Some(1), Some("s"), Some("ERR")),
            (Some(1), Some(1), Some(&*long), Some("LIMIT")),
        ] {
            let options = ConsumeOptions {
                claim_after_ms,
                max_deliveries,
                dead_letter: dead_letter.map(ByteString::from),
                ..ConsumeOptions::default()
            };
            assert_eq!(refused(options.clone()).as_deref(), expected, "{options:?}");
        }
    }
}
