//! The numbers of idempotent adds, by stream.
//!
//! The server stores a numbered add once, however often the client sends it, and only after the add
//! that precedes it. If an add fails, the adds sent after it are refused; the client then pauses
//! and sends all of them again, in order. See SPEC section 7.

use streamgate_protocol::ByteString;
use streamgate_protocol::backoff::Backoff;
use streamgate_protocol::limits::MAX_PRODUCER_NUMBER;
use streamgate_protocol::text::push_number;

use super::jitter::Jitter;
use super::retry_backoff;
use super::time::Millis;

/// The streams to which one client adds idempotently at the same time. An add to any other stream
/// is sent as a plain one, which cannot be sent again.
pub(super) const MAX_PRODUCERS: usize = 1_024;

/// The number of an idempotent add. It stands beside the operation, which stays as the owner made
/// it.
#[derive(Debug, Default)]
pub(super) struct AddNumber {
    /// The producer's name.
    pub(super) producer: String,
    /// 0 until the add is numbered.
    pub(super) number: u64,
    /// The number of the preceding add: the server rejects this one unless it stored that one. 0
    /// means none.
    pub(super) after: u64,
}

/// The producers of one client.
#[derive(Debug)]
pub(super) struct IdempotentProducers {
    names: ProducerNames,
    /// Sorted by stream.
    producers: Vec<Producer>,
}

/// The names of a client's producers: the client's id, and a number that is never used again.
#[derive(Debug)]
struct ProducerNames {
    client_id: String,
    last: u64,
}

#[derive(Debug)]
struct Producer {
    stream: ByteString,
    name: String,
    /// The last number that was assigned.
    last: u64,
    /// The last number that was sent and that may have been stored: the next add's `after`.
    predecessor: u64,
    /// The greatest number that was stored.
    stored: u64,
    in_flight: usize,
    /// Numbers that were sent and whose outcome is unknown.
    unsettled: usize,
    /// Whether further adds wait until the outcome of those in flight is known.
    is_stalled: bool,
    /// Whether the server has forgotten this producer.
    is_forgotten: bool,
    backoff: Backoff,
    /// When a stalled producer may continue.
    resume_at: Millis,
}

impl IdempotentProducers {
    pub(super) fn new(client_id: String) -> Self {
        Self {
            names: ProducerNames { client_id, last: 0 },
            producers: Vec::new(),
        }
    }

    /// Returns the client's id, with which each producer's name begins.
    pub(super) fn client_id(&self) -> &str {
        &self.names.client_id
    }

    /// Whether the adds to any stream wait for those before them.
    pub(super) fn any_stalled(&self) -> bool {
        self.producers.iter().any(|producer| producer.is_stalled)
    }

    /// Whether the adds to this stream wait for those before them.
    pub(super) fn is_stalled(&self, stream: &[u8]) -> bool {
        self.find(stream)
            .is_ok_and(|index| self.producers[index].is_stalled)
    }

    /// Numbers an add that is about to be sent. An add that has a number of this producer keeps it.
    /// Returns `false` if there is no producer left for the stream.
    pub(super) fn assign(&mut self, stream: &[u8], add: &mut AddNumber) -> bool {
        let index = match self.find(stream) {
            Ok(index) => index,
            Err(_) => match self.begin(stream) {
                Some(index) => index,
                None => return false,
            },
        };
        let producer = &self.producers[index];
        if add.producer != producer.name {
            add.producer.clone_from(&producer.name);
            add.number = producer.last + 1;
        }
        // A later add may be stored already.
        add.after = producer.predecessor.min(add.number - 1);
        add.number <= MAX_PRODUCER_NUMBER
    }

    /// Records that the add of this number was sent.
    pub(super) fn record_sent(&mut self, stream: &[u8], number: u64) {
        if let Some(producer) = self.get_mut(stream) {
            producer.unsettled += usize::from(number > producer.last);
            producer.last = producer.last.max(number);
            producer.predecessor = number;
            producer.in_flight += 1;
        }
    }

    /// Records the reply that the add of this number is stored.
    pub(super) fn record_stored(&mut self, stream: &[u8], number: u64) {
        if let Some(producer) = self.get_mut(stream) {
            producer.in_flight -= 1;
            producer.unsettled = producer.unsettled.saturating_sub(1);
            producer.stored = producer.stored.max(number);
            producer.backoff.reset();
        }
    }

    /// Records the reply that an add failed for good, or that its outcome is unknown. The server
    /// refuses the adds after it that are in flight; further adds no longer depend on it, but wait
    /// until those are answered.
    pub(super) fn record_failed(&mut self, stream: &[u8]) {
        if let Some(producer) = self.get_mut(stream) {
            producer.in_flight -= 1;
            producer.is_stalled |= producer.in_flight > 0;
        }
        self.record_abandoned(stream);
    }

    /// Records that the client gave up an add that was waiting to be sent again.
    pub(super) fn record_abandoned(&mut self, stream: &[u8]) {
        if let Some(producer) = self.get_mut(stream) {
            producer.unsettled = producer.unsettled.saturating_sub(1);
            producer.predecessor = producer.predecessor.min(producer.stored);
        }
    }

    /// Stalls a producer: an add, and those that were sent after it, must be sent again, at
    /// `earliest` at the earliest.
    pub(super) fn stall(
        &mut self,
        stream: &[u8],
        now: Millis,
        earliest: Millis,
        jitter: &mut Jitter,
    ) {
        if let Some(producer) = self.get_mut(stream) {
            producer.in_flight -= 1;
            producer.is_stalled = true;
            // All adds that are refused together share one pause.
            if producer.resume_at <= now {
                let pause = retry_backoff::next_pause_ms(&mut producer.backoff, jitter);
                producer.resume_at = now + pause;
            }
            producer.resume_at = producer.resume_at.max(earliest);
        }
    }

    /// Records that an add was refused because `after` is missing. If that one was stored, the
    /// server has forgotten the producer, which then continues under a new name.
    pub(super) fn record_out_of_order(&mut self, stream: &[u8], after: u64) {
        if let Some(producer) = self.get_mut(stream)
            && after > 0
            && after <= producer.stored
        {
            producer.is_forgotten = true;
        }
    }

    /// Whether the stream's producer still has this name, so that its adds can be sent again.
    pub(super) fn has_name(&self, stream: &[u8], name: &str) -> bool {
        self.find(stream)
            .is_ok_and(|index| self.producers[index].name == name)
    }

    /// Records that the connection was lost, and with it everything that was in flight.
    pub(super) fn record_connection_lost(&mut self) {
        for producer in &mut self.producers {
            producer.in_flight = 0;
            producer.is_stalled = false;
            producer.predecessor = producer.stored;
        }
    }

    /// Lets stalled producers continue whose pause is over and whose adds are all answered.
    pub(super) fn resume_stalled(&mut self, now: Millis) {
        for producer in &mut self.producers {
            if producer.is_stalled && producer.in_flight == 0 && now >= producer.resume_at {
                producer.is_stalled = false;
                producer.predecessor = producer.stored;
                if producer.is_forgotten {
                    let stream = std::mem::take(&mut producer.stream);
                    *producer = Producer::new(stream, self.names.next());
                }
            }
        }
    }

    /// Returns when the next stalled producer may continue.
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        let waiting = |producer: &&Producer| producer.is_stalled && producer.in_flight == 0;
        let waiting = self.producers.iter().filter(waiting);
        waiting.map(|producer| producer.resume_at).min()
    }

    fn begin(&mut self, stream: &[u8]) -> Option<usize> {
        if self.producers.len() >= MAX_PRODUCERS {
            // A producer without unsettled adds can start again under another name.
            let idle = self
                .producers
                .iter()
                .position(|producer| producer.unsettled == 0)?;
            self.producers.remove(idle);
        }
        let index = self.find(stream).unwrap_or_else(|index| index);
        let producer = Producer::new(stream.into(), self.names.next());
        self.producers.insert(index, producer);
        Some(index)
    }

    fn get_mut(&mut self, stream: &[u8]) -> Option<&mut Producer> {
        let index = self.find(stream).ok()?;
        self.producers.get_mut(index)
    }

    fn find(&self, stream: &[u8]) -> Result<usize, usize> {
        self.producers
            .binary_search_by(|producer| (*producer.stream).cmp(stream))
    }
}

impl ProducerNames {
    fn next(&mut self) -> String {
        self.last += 1;
        let mut name = self.client_id.clone();
        name.push('-');
        push_number(&mut name, self.last);
        name
    }
}

impl Producer {
    fn new(stream: ByteString, name: String) -> Self {
        Self {
            stream,
            name,
            last: 0,
            predecessor: 0,
            stored: 0,
            in_flight: 0,
            unsettled: 0,
            is_stalled: false,
            is_forgotten: false,
            backoff: retry_backoff::new(),
            resume_at: 0,
        }
    }
}
