//! Dead letters: entries that were delivered too often.

use streamgate_protocol::ByteString;
use streamgate_protocol::subscribe::{DEAD_LETTER_FIELDS, DEAD_LETTER_REASON};

/// The most fields that an entry keeps in the dead-letter stream. An entry with more fields goes
/// there without them; read it in its own stream.
///
/// A Redis script cannot pass more than about 8,000 arguments to a command. All backends keep the
/// same bound.
pub const MAX_DEAD_LETTER_FIELDS: usize = 3_500;

/// What to do with entries that were delivered too often.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetterPolicy {
    /// The key of the dead-letter stream.
    pub stream: ByteString,
    /// An entry that was delivered this many times goes to the dead-letter stream.
    pub max_deliveries: u64,
    /// The name of the group's stream that dead letters state; its key if `None`. A server sets it
    /// if its client does not know the key.
    pub source: Option<ByteString>,
    /// Each dead letter trims the stream to about this many entries. `None` by default: nothing is
    /// trimmed.
    pub maxlen: Option<u64>,
}

/// A pending entry on its way to the dead-letter stream. Built by
/// [`ReclaimStep::dead_letter_entry`](crate::reclaim::step::ReclaimStep::dead_letter_entry).
#[derive(Debug, Clone, Copy)]
pub struct DeadLetterEntry<'a> {
    pub(crate) stream: &'a [u8],
    pub(crate) group: &'a [u8],
    pub(crate) id: &'a str,
    pub(crate) consumer: &'a [u8],
    pub(crate) deliveries: u64,
}

impl DeadLetterPolicy {
    /// Returns a policy that sends an entry to `stream` after `max_deliveries` deliveries.
    pub fn new(stream: impl Into<ByteString>, max_deliveries: u64) -> Self {
        Self {
            stream: stream.into(),
            max_deliveries,
            source: None,
            maxlen: None,
        }
    }
}

impl DeadLetterEntry<'_> {
    /// Returns the fields to add to the dead-letter stream: those of the entry, then
    /// [`DEAD_LETTER_FIELDS`].
    pub fn fields(
        &self,
        mut fields: Vec<(ByteString, ByteString)>,
    ) -> Vec<(ByteString, ByteString)> {
        if fields.len() > MAX_DEAD_LETTER_FIELDS {
            fields.clear();
        }
        let deliveries = self.deliveries.to_string();
        let values: [&[u8]; DEAD_LETTER_FIELDS.len()] = [
            DEAD_LETTER_REASON.as_bytes(),
            self.stream,
            self.group,
            self.consumer,
            self.id.as_bytes(),
            deliveries.as_bytes(),
        ];
        let added = DEAD_LETTER_FIELDS.iter().zip(values);
        fields.extend(added.map(|(name, value)| ((*name).into(), value.into())));
        fields
    }
}
