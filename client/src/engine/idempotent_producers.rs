//! Adds that are done once: their numbers, by stream, and what is kept back until it is known
//! whether those before were added.

use streamgate_protocol::limits::MAX_PRODUCER_NUMBER;

use super::pause;

/// Streams that one client adds to once at the same time. An add to any other stream is sent as one
/// that cannot be asked for again.
pub(super) const MAX_PRODUCERS: usize = 1_024;

/// Letters of a producer's name, of 16 each: as many bits as the generator of random numbers holds,
/// twice.
const NAME_LETTERS: usize = 32;

/// A number, and the one before it without which it must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbered {
    pub(super) number: u64,
    pub(super) after: u64,
}

/// The producers of one client.
#[derive(Debug)]
pub(super) struct IdempotentProducers {
    random: fastrand::Rng,
    /// Sorted by stream.
    producers: Vec<Producer>,
}

#[derive(Debug)]
struct Producer {
    stream: String,
    name: String,
    /// The last number that was given.
    last: u64,
    /// The last that was sent and may have been added.
    chain: u64,
    /// The greatest that was added.
    added: u64,
    in_flight: usize,
    /// Numbers that were sent and are not over.
    open: usize,
    stalled: bool,
    /// By the server.
    forgotten: bool,
    pause_ms: u64,
    /// When what is kept back may go on.
    goes_on_at: u64,
}

impl IdempotentProducers {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            producers: Vec::new(),
        }
    }

    /// Whether any add has to wait for those before it.
    pub(super) fn any_stalled(&self) -> bool {
        self.producers.iter().any(|producer| producer.stalled)
    }

    /// Whether an add to a stream has to wait for those before it.
    pub(super) fn is_stalled(&self, stream: &str) -> bool {
        self.place(stream)
            .is_ok_and(|place| self.producers[place].stalled)
    }

    /// The producer's name and a number for an add that is about to be sent; one that has a number
    /// under this name keeps it. None if there are as many producers as there may be.
    pub(super) fn number(
        &mut self,
        stream: &str,
        named: Option<(&str, u64)>,
    ) -> Option<(&str, Numbered)> {
        let place = match self.place(stream) {
            Ok(place) => place,
            Err(_) => self.begin(stream)?,
        };
        let producer = &mut self.producers[place];
        let own = named.filter(|(name, _)| *name == producer.name);
        let number = own.map_or(producer.last + 1, |(_, number)| number);
        if number > MAX_PRODUCER_NUMBER {
            return None;
        }
        let after = producer.chain;
        Some((&producer.name, Numbered { number, after }))
    }

    /// The add of that number was sent.
    pub(super) fn sent(&mut self, stream: &str, number: u64) {
        if let Some(producer) = self.get(stream) {
            producer.open += usize::from(number > producer.last);
            producer.last = producer.last.max(number);
            producer.chain = number;
            producer.in_flight += 1;
        }
    }

    /// It was answered: it is there.
    pub(super) fn added(&mut self, stream: &str, number: u64) {
        if let Some(producer) = self.get(stream) {
            producer.in_flight -= 1;
            producer.open = producer.open.saturating_sub(1);
            producer.added = producer.added.max(number);
            producer.pause_ms = 0;
        }
    }

    /// It was answered: it was not added, or nobody knows. Those behind it that are on their way
    /// are refused; those that follow do without it.
    pub(super) fn failed(&mut self, stream: &str) {
        if let Some(producer) = self.get(stream) {
            producer.in_flight -= 1;
        }
        self.given_up(stream);
    }

    /// The same, while it waited to be asked for again.
    pub(super) fn given_up(&mut self, stream: &str) {
        if let Some(producer) = self.get(stream) {
            producer.open = producer.open.saturating_sub(1);
            producer.chain = producer.chain.min(producer.added);
        }
    }

    /// It has to be asked for again, and with it what was sent behind it; what follows waits.
    pub(super) fn stall(&mut self, stream: &str, now: u64) {
        if let Some(producer) = self.get(stream) {
            producer.in_flight -= 1;
            producer.stalled = true;
            // All that are refused together share one pause.
            if producer.goes_on_at <= now {
                producer.pause_ms = pause::after(producer.pause_ms);
                producer.goes_on_at = now + producer.pause_ms;
            }
        }
    }

    /// An add was refused because those before it are missing, behind `after`. If that one was
    /// added, the server has forgotten the producer, which goes on under another name.
    pub(super) fn refused(&mut self, stream: &str, after: u64) {
        if let Some(producer) = self.get(stream)
            && after > 0
            && after == producer.added
        {
            producer.forgotten = true;
        }
    }

    /// Whether what has a number under that name can still be asked for.
    pub(super) fn knows(&self, stream: &str, name: &str) -> bool {
        self.place(stream)
            .is_ok_and(|place| self.producers[place].name == name)
    }

    /// The connection is lost, and with it everything that was in flight.
    pub(super) fn lost(&mut self) {
        for producer in &mut self.producers {
            producer.in_flight = 0;
            producer.stalled = false;
            producer.chain = producer.added;
        }
    }

    /// Lets go on what waited for long enough, once everything before it is answered.
    pub(super) fn go_on(&mut self, now: u64) {
        for producer in &mut self.producers {
            if producer.stalled && producer.in_flight == 0 && now >= producer.goes_on_at {
                producer.stalled = false;
                producer.chain = producer.added;
                if producer.forgotten {
                    *producer =
                        Producer::new(std::mem::take(&mut producer.stream), &mut self.random);
                }
            }
        }
    }

    /// When the next may go on.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        let waiting = |producer: &&Producer| producer.stalled && producer.in_flight == 0;
        let waiting = self.producers.iter().filter(waiting);
        waiting.map(|producer| producer.goes_on_at).min()
    }

    fn begin(&mut self, stream: &str) -> Option<usize> {
        if self.producers.len() >= MAX_PRODUCERS {
            // One of which nothing is open is as good as new under another name.
            let idle = self
                .producers
                .iter()
                .position(|producer| producer.open == 0)?;
            self.producers.remove(idle);
        }
        let place = self.place(stream).unwrap_or_else(|place| place);
        let producer = Producer::new(stream.to_owned(), &mut self.random);
        self.producers.insert(place, producer);
        Some(place)
    }

    fn get(&mut self, stream: &str) -> Option<&mut Producer> {
        let place = self.place(stream).ok()?;
        self.producers.get_mut(place)
    }

    fn place(&self, stream: &str) -> Result<usize, usize> {
        self.producers
            .binary_search_by(|producer| producer.stream.as_str().cmp(stream))
    }
}

impl Producer {
    fn new(stream: String, random: &mut fastrand::Rng) -> Self {
        // Not by the standard library's formatting: a kilobyte of what a browser downloads.
        let letter = |_| char::from(b'a' + random.u8(..16));
        let name = (0..NAME_LETTERS).map(letter).collect();
        Self {
            stream,
            name,
            last: 0,
            chain: 0,
            added: 0,
            in_flight: 0,
            open: 0,
            stalled: false,
            forgotten: false,
            pause_ms: 0,
            goes_on_at: 0,
        }
    }
}
