//! Lists the pending entries that are idle for some time.
//!
//! `XPENDING … IDLE` examines all pending entries in one go to find those. So `XPENDING` lists
//! them, idle or not, in pages of [`IDS_PER_PAGE`]. The first page is in the operation's own
//! pipeline; the list continues after the other operations, on the connection for bulk reads.

use redis::Value;
use streamgate_protocol::{ByteString, CacheResult, EntryId, PendingEntry, Reply};

use crate::operation::bulk_reader::BulkReader;
use crate::operation::outcome::Step;
use crate::operation::read_pending::IDS_PER_PAGE;
use crate::wire::packing::PackedCommands;
use crate::wire::{answers, commands};

/// A list under way.
pub(super) struct IdleList {
    stream: ByteString,
    group: ByteString,
    consumer: Option<ByteString>,
    /// Where the next page starts and the last ends, as `XPENDING` takes them.
    ends: [String; 2],
    min_idle_ms: u64,
    /// Most entries to find.
    count: usize,
    found: Vec<PendingEntry>,
}

impl IdleList {
    pub(super) fn new(
        [stream, group]: [&[u8]; 2],
        consumer: Option<&[u8]>,
        ends: [&str; 2],
        count: u64,
        min_idle_ms: u64,
    ) -> Self {
        Self {
            stream: stream.into(),
            group: group.into(),
            consumer: consumer.map(ByteString::from),
            ends: ends.map(String::from),
            min_idle_ms,
            count: usize::try_from(count).unwrap_or(usize::MAX),
            found: Vec::new(),
        }
    }

    /// Encodes the command that lists the next page.
    pub(super) fn encode(&self, to: &mut PackedCommands) {
        let [start, end] = &self.ends;
        let consumer = self.consumer.as_deref();
        let (stream, group) = (&self.stream, &self.group);
        commands::pending(
            to,
            stream,
            group,
            [start, end],
            IDS_PER_PAGE,
            consumer,
            None,
        );
    }

    /// Takes a page.
    pub(super) fn take(mut self, value: Value) -> Step<Self> {
        match self.take_page(value) {
            Ok(true) => Step::More(self),
            Ok(false) => Step::Done(Ok(Reply::Pending {
                entries: self.found,
            })),
            Err(error) => Step::Done(Err(error)),
        }
    }

    /// Lists the further pages.
    pub(super) async fn finish(mut self, bulk: BulkReader) -> CacheResult<Reply> {
        loop {
            let mut packed = PackedCommands::default();
            self.encode(&mut packed);
            let mut values = bulk.send(packed).await?;
            match self.take(answers::next_value(&mut values)) {
                Step::Done(result) => return result,
                Step::More(rest) => self = rest,
            }
        }
    }

    /// Takes a page. Returns whether another one has to be listed.
    fn take_page(&mut self, value: Value) -> CacheResult<bool> {
        let page = answers::pending(value)?;
        let is_full = page.len() as u64 >= IDS_PER_PAGE;
        let last = page.last().map(|last| last.id.clone());
        let idle = page
            .into_iter()
            .filter(|entry| entry.idle_ms >= self.min_idle_ms);
        self.found.extend(idle.take(self.count - self.found.len()));
        // Redis refuses a range that would begin after the greatest id there is.
        let next = match last {
            Some(last) if is_full => answers::parse_id(&last)?.successor(),
            _ => None,
        };
        match next {
            Some(next) if self.found.len() < self.count => {
                self.ends[0] = EntryId::to_string(&next);
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
