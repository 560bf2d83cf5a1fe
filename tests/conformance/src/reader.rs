//! A tail as cases read it. Every item is checked for what holds for all tails: entries are in
//! order, positions match, only the first batch may be empty, and a gap precedes what follows it.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use streamgate_protocol::{CacheResult, Gap, StreamEntry, Tail, TailFrom, TailItem};

use crate::fixture::{Fixture, HANG, as_text, code, parts};

/// A tail that is read entry by entry. Every method panics if the tail breaks a rule.
pub struct Reader {
    tail: Tail,
    /// Whether the first item was received.
    started: bool,
    position: String,
    /// The entry that the last gap announced.
    announced: Option<String>,
    ready: VecDeque<Received>,
}

/// An item of a tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// An entry.
    Entry(StreamEntry),
    /// A gap.
    Gap(Gap),
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("position", &self.position)
            .field("ready", &self.ready)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// Starts a tail: polls it once, so that it is under way before the next line.
    pub fn started(f: &Fixture, key: &str, from: TailFrom) -> Self {
        let mut reader = Self {
            tail: f.backend.tail(key, from),
            started: false,
            position: String::new(),
            announced: None,
            ready: VecDeque::new(),
        };
        if let Some(next) = reader.tail.next().now_or_never() {
            reader.receive(next);
        }
        reader
    }

    /// Starts a tail and waits for its first item.
    pub async fn open(f: &Fixture, key: &str, from: TailFrom) -> Self {
        let mut reader = Self::started(f, key, from);
        reader.begin().await;
        reader
    }

    /// Waits for the first item, unless it was received already.
    pub async fn begin(&mut self) {
        if !self.started {
            let next = self.next().await;
            self.receive(next);
        }
    }

    /// The position of the last item.
    pub fn position(&self) -> &str {
        &self.position
    }

    /// Returns the next entry or gap.
    pub async fn next_item(&mut self) -> Received {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return item;
            }
            let next = self.next().await;
            self.receive(next);
        }
    }

    /// The next entry.
    pub async fn entry(&mut self) -> StreamEntry {
        match self.next_item().await {
            Received::Entry(entry) => entry,
            Received::Gap(gap) => fail(&format!("a gap instead of an entry: {gap:?}")),
        }
    }

    /// The ids of the next `n` entries.
    pub async fn ids(&mut self, n: usize) -> Vec<String> {
        let mut ids = Vec::with_capacity(n);
        while ids.len() < n {
            ids.push(self.entry().await.0);
        }
        ids
    }

    /// The next item, which must be a gap.
    pub async fn gap(&mut self) -> Gap {
        match self.next_item().await {
            Received::Gap(gap) => gap,
            Received::Entry(entry) => fail(&format!("an entry instead of a gap: {entry:?}")),
        }
    }

    /// Everything up to the entry with this id.
    pub async fn read_until(&mut self, id: &str) -> Vec<Received> {
        let mut all = Vec::new();
        loop {
            let item = self.next_item().await;
            let last = matches!(&item, Received::Entry((this, _)) if this == id);
            all.push(item);
            if last {
                return all;
            }
        }
    }

    /// The code of the next item, which must be an error and end the tail.
    pub async fn error(&mut self) -> String {
        assert_eq!(self.ready, [], "before the error");
        let next = self.next().await;
        let Some(failed @ Err(_)) = next else {
            return fail(&format!("not an error: {next:?}"));
        };
        assert_eq!(self.next().await, None, "after the error");
        code(&failed).to_owned()
    }

    /// Panics if an item comes within `ms` milliseconds.
    pub async fn expect_silence(&mut self, ms: u64) {
        assert_eq!(self.ready, [], "unexpected items");
        let next = tokio::time::timeout(Duration::from_millis(ms), self.tail.next()).await;
        assert!(next.is_err(), "an unexpected item: {next:?}");
    }

    async fn next(&mut self) -> Option<CacheResult<TailItem>> {
        let next = tokio::time::timeout(HANG, self.tail.next()).await;
        next.unwrap_or_else(|_| fail(&format!("no item came after {:?}", self.position)))
    }

    fn receive(&mut self, next: Option<CacheResult<TailItem>>) {
        let first = !std::mem::replace(&mut self.started, true);
        match next {
            Some(Ok(TailItem::Entries { entries, position })) => {
                self.receive_entries(first, as_text(entries), position);
            }
            Some(Ok(TailItem::Gap(gap))) => self.receive_gap(first, gap),
            ended => fail(&format!("the tail ended: {ended:?}")),
        }
    }

    fn receive_entries(&mut self, first: bool, entries: Vec<StreamEntry>, position: String) {
        assert!(first || !entries.is_empty(), "a batch without entries");
        let at = parts(&position);
        let mut last = (!self.position.is_empty()).then(|| parts(&self.position));
        for (id, _) in &entries {
            if let Some(announced) = self.announced.take() {
                assert_eq!(*id, announced, "the gap announced another entry");
            }
            assert!(last < Some(parts(id)), "{id} after {last:?}");
            last = Some(parts(id));
        }
        assert!(
            entries.is_empty() || last == Some(at),
            "{position} is not the last entry's id"
        );
        self.position = position;
        self.ready.extend(entries.into_iter().map(Received::Entry));
    }

    fn receive_gap(&mut self, first: bool, gap: Gap) {
        if !first {
            assert_eq!(
                parts(&gap.after),
                parts(&self.position),
                "the gap starts at another position"
            );
        }
        if let Some(id) = &gap.first {
            assert!(
                parts(&gap.position) < parts(id),
                "it resumes after its next entry: {gap:?}"
            );
        }
        self.announced.clone_from(&gap.first);
        self.position.clone_from(&gap.position);
        self.ready.push_back(Received::Gap(gap));
    }
}

#[expect(clippy::panic, reason = "how a case fails")]
fn fail<T>(why: &str) -> T {
    panic!("{why}")
}
