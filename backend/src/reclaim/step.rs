//! Taking over what vanished consumers hold, as a backend is asked for it.
//!
//! Like a claim, but for a consumer that goes on doing so: it takes nothing that it was given
//! itself, and what was delivered too often goes elsewhere.

use streamgate_protocol::StreamEntry;
use streamgate_protocol::message::Subscription;
use streamgate_protocol::subscribe::{DEAD_LETTER_FIELDS, DEAD_LETTER_REASON};

/// Pending entries that are looked at in one step, at most: few enough that Redis, which does
/// nothing else meanwhile, is done within a millisecond.
pub const PAGE: usize = 100;

/// Fields that go with an entry to a dead-letter stream, at most. A script of Redis cannot give a
/// command more than about 8,000 arguments, and all backends do the same. An entry of more goes
/// there without them, and is to be read in its own stream.
pub const MAX_DEAD_LETTER_FIELDS: usize = 3_500;

/// Where a round begins, and what says that it is over.
pub const START: &str = "0-0";

/// One step of a round over the pending entries of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReclaimStep {
    /// The stream's key.
    pub stream: String,
    /// The group's name.
    pub group: String,
    /// Who takes over.
    pub consumer: String,
    /// Only what was last delivered so many milliseconds ago, or longer.
    pub min_idle_ms: u64,
    /// What is done with entries that were delivered too often.
    pub dead_letter: Option<DeadLetter>,
    /// Look behind this id: [`START`] at first, then what the last step gave.
    pub cursor: String,
    /// Take at most so many; at least 1.
    pub count: u64,
    /// By the backend's clock, in milliseconds since 1970: what the consumer holds itself is left
    /// alone unless it was delivered in an earlier millisecond. Absent in the first step of all, which
    /// then stands for its own time.
    pub since_ms: Option<u64>,
}

/// What is done with entries that were delivered too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Of another stream.
    pub stream: String,
    /// That often is too often.
    pub max_deliveries: u64,
}

/// What a step gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reclaimed {
    /// What is the consumer's now.
    pub entries: Vec<StreamEntry>,
    /// Where to go on: [`START`] once all was looked at.
    pub cursor: String,
    /// What the next step's [`ReclaimStep::since_ms`] is.
    pub since_ms: u64,
}

/// What is said of an entry in a dead-letter stream.
pub struct DeadLetterEntry<'a> {
    /// The entry's id.
    pub id: &'a str,
    /// The consumer that held it last.
    pub consumer: &'a str,
    /// How often it was delivered.
    pub deliveries: u64,
}

impl ReclaimStep {
    /// The first step of a subscription, which must be a valid one; none if it takes nothing over.
    pub fn first(subscription: &Subscription<'_>) -> Option<Self> {
        let Subscription::Consume {
            stream,
            group,
            consumer,
            claim_after_ms: Some(min_idle_ms),
            max_deliveries,
            dead_letter,
            resumed,
            ..
        } = subscription
        else {
            return None;
        };
        let dead_letter = max_deliveries.zip(dead_letter.as_ref());
        Some(Self {
            stream: (**stream).to_owned(),
            group: (**group).to_owned(),
            consumer: (**consumer).to_owned(),
            min_idle_ms: *min_idle_ms,
            dead_letter: dead_letter.map(|(max_deliveries, stream)| DeadLetter {
                stream: (**stream).to_owned(),
                max_deliveries,
            }),
            cursor: START.to_owned(),
            count: 1,
            // Older than any: all that the consumer holds is its own then.
            since_ms: resumed.unwrap_or(false).then_some(0),
        })
    }
}

impl DeadLetterEntry<'_> {
    /// An entry's fields, and those that say why it is there.
    pub fn fields(
        &self,
        ask: &ReclaimStep,
        mut fields: Vec<(String, String)>,
    ) -> Vec<(String, String)> {
        if fields.len() > MAX_DEAD_LETTER_FIELDS {
            fields.clear();
        }
        let deliveries = self.deliveries.to_string();
        let values = [
            DEAD_LETTER_REASON,
            &ask.stream,
            &ask.group,
            self.consumer,
            self.id,
            &deliveries,
        ];
        let added = DEAD_LETTER_FIELDS.iter().zip(values);
        fields.extend(added.map(|(name, value)| ((*name).to_owned(), value.to_owned())));
        fields
    }
}
