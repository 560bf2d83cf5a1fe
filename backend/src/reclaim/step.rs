//! One step of reclaiming: a page of a group's pending entries.
//!
//! A step looks at [`STEP_ENTRIES`] pending entries and no further. `XPENDING … IDLE` would look at
//! all of them in one go, also to find none.
//!
//! A step must not reclaim what the consumer got through the same subscription. Time tells: the
//! first step, sent before the first read, returns the backend's time. Later steps leave alone what
//! was delivered to this consumer since. So nobody keeps a list of delivered ids. A subscription
//! that resumes after a lost connection leaves all of its consumer's entries alone: the client has
//! recovered them by itself.
//!
//! A step counts deliveries only of entries that it returns. It returns no more bytes than its
//! caller can carry, and leaves the rest to the next step. An entry that is too large to be carried
//! at all is not returned and not counted as delivered. It changes its owner, so that it is reported
//! once in the idle time, and not by every scan of every consumer.

use streamgate_protocol::message::Subscription;
use streamgate_protocol::{ByteString, Entry, Skipped};

use crate::reclaim::dead_letter::{DeadLetterEntry, DeadLetterPolicy};

/// The most pending entries that one step looks at: few enough that Redis, which does nothing else
/// meanwhile, is done within a millisecond.
pub const STEP_ENTRIES: usize = 100;

/// The most bytes of the entries that one step returns, if there is more than one: Redis does
/// nothing else while it reads them.
pub const MAX_STEP_BYTES: u64 = 256 * 1024;

/// The cursor that begins a scan, and that ends one when a step returns it.
pub const START: &str = "0-0";

/// One step of a scan over the pending entries of a group. See
/// [`Backend::reclaim`](crate::Backend::reclaim) for what a backend does with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReclaimStep {
    /// The stream's key.
    pub stream: ByteString,
    /// The group's name.
    pub group: ByteString,
    /// The consumer that reclaims.
    pub consumer: ByteString,
    /// The least time in ms since the last delivery for an entry to be reclaimed.
    pub min_idle_ms: u64,
    /// What to do with entries that were delivered too often, if anything.
    pub dead_letter: Option<DeadLetterPolicy>,
    /// The id after which the step looks: [`START`] at first, then the cursor that the last step
    /// returned.
    pub cursor: String,
    /// The most entries to return, with those that are skipped; at least 1.
    pub count: u64,
    /// The most bytes of the entries to return, as
    /// [`entry_bytes`](streamgate_protocol::message::entry_bytes) counts them. The first entry may
    /// be larger.
    pub max_bytes: u64,
    /// The most bytes of one entry. A larger one is [skipped](Reclaimed::skipped).
    pub max_entry_bytes: u64,
    /// A time by the backend's clock in ms since 1970. Entries that were delivered to this consumer
    /// in this millisecond or later are left alone. `None` in the first step of a subscription,
    /// which uses the time at which the backend performs it.
    pub since_ms: Option<u64>,
}

/// What a step returns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reclaimed {
    /// The reclaimed entries. They are pending for the consumer of the step now.
    pub entries: Vec<Entry>,
    /// Entries that were idle for long enough, and are larger than
    /// [`max_entry_bytes`](ReclaimStep::max_entry_bytes). They are pending for the consumer of the
    /// step now; their count of deliveries is unchanged.
    pub skipped: Vec<Skipped>,
    /// The cursor of the next step; [`START`] after the last page.
    pub cursor: String,
    /// The next step's [`ReclaimStep::since_ms`].
    pub since_ms: u64,
}

impl ReclaimStep {
    /// Returns the first step of a subscription, or `None` if the subscription does not reclaim.
    ///
    /// The caller has validated the subscription.
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
        let dead_letter = max_deliveries.zip(dead_letter.clone());
        Some(Self {
            stream: stream.clone().into(),
            group: group.clone().into(),
            consumer: consumer.clone().into(),
            min_idle_ms: *min_idle_ms,
            dead_letter: dead_letter
                .map(|(max_deliveries, stream)| DeadLetterPolicy::new(stream, max_deliveries)),
            cursor: START.to_owned(),
            count: 1,
            max_bytes: MAX_STEP_BYTES,
            max_entry_bytes: u64::MAX,
            // Every delivery is later than 0, so all of the consumer's entries are left alone.
            since_ms: resumed.unwrap_or(false).then_some(0),
        })
    }

    /// Returns the name of the stream that its dead letters state.
    pub fn dead_letter_source(&self) -> &ByteString {
        let source = self.dead_letter.as_ref().and_then(|d| d.source.as_ref());
        source.unwrap_or(&self.stream)
    }

    /// Describes a pending entry of this step's group that goes to the dead-letter stream.
    ///
    /// `consumer` is the one it is pending for.
    pub fn dead_letter_entry<'a>(
        &'a self,
        id: &'a str,
        consumer: &'a [u8],
        deliveries: u64,
    ) -> DeadLetterEntry<'a> {
        DeadLetterEntry {
            stream: self.dead_letter_source(),
            group: &self.group,
            id,
            consumer,
            deliveries,
        }
    }
}

impl Reclaimed {
    /// Returns the result of a step that skipped no entry.
    ///
    /// `cursor` is the last id that the step looked at, or [`START`] after the last page.
    /// `since_ms` is the step's own, or the backend's time if the step had none.
    pub fn new(entries: Vec<Entry>, cursor: impl Into<String>, since_ms: u64) -> Self {
        Self {
            entries,
            skipped: Vec::new(),
            cursor: cursor.into(),
            since_ms,
        }
    }

    /// Sets the [skipped entries](Self#structfield.skipped).
    #[must_use]
    pub fn skipped(mut self, skipped: Vec<Skipped>) -> Self {
        self.skipped = skipped;
        self
    }
}
