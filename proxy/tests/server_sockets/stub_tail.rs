//! A tail that yields what its stream's key says.

use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_backend::{Segment, TailEvent, TailSource};
use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheError, CacheResult, Entry, Gap};
use tokio::sync::watch;

use crate::stub_backend::CountGuard;

/// Entries of the tail `endless` in one segment, if there is room for them.
const SEGMENT: u64 = 3;

/// The first item is a position; of `unanswered`, once the backend answers. The stream's key says what follows:
///
/// - `endless`: as many entries as there is room for, of 1,000 bytes each;
/// - `gap`: a gap;
/// - `broken`: an error;
/// - any other key: nothing.
pub(crate) struct StubTail {
    key: String,
    /// Absent after the first item.
    answered: Option<BoxFuture<'static, ()>>,
    yielded: u64,
    produced_bytes: watch::Sender<usize>,
    _count: CountGuard,
}

impl StubTail {
    pub(crate) fn new(
        key: &str,
        answered: BoxFuture<'static, ()>,
        count: CountGuard,
        produced_bytes: watch::Sender<usize>,
    ) -> Self {
        Self {
            key: key.to_owned(),
            answered: Some(answered),
            yielded: 0,
            produced_bytes,
            _count: count,
        }
    }

    fn entries(&mut self, count: u64, bytes: usize) -> TailEvent {
        let entry = |n: u64| Entry::new(format!("{n}-0"), [("", "x".repeat(bytes))]);
        let first = self.yielded + 1;
        self.yielded += count;
        let total = count as usize * bytes;
        self.produced_bytes
            .send_modify(|produced| *produced += total);
        TailEvent::Segment(Segment::new((first..=self.yielded).map(entry).collect()))
    }
}

impl TailSource for StubTail {
    fn poll_next(&mut self, cx: &mut Context<'_>, room: Credit) -> Poll<CacheResult<TailEvent>> {
        if let Some(answered) = &mut self.answered {
            ready!(answered.poll_unpin(cx));
            self.answered = None;
            let item = TailEvent::Segment(Segment::position_only("0-0".to_owned()));
            return Poll::Ready(Ok(item));
        }
        if room.is_used_up() || (self.yielded > 0 && self.key != "endless") {
            return Poll::Pending;
        }
        Poll::Ready(match self.key.as_str() {
            "endless" => {
                // An entry costs three bytes more than its value, for its id.
                let fitting = room.bytes.div_ceil(1_003);
                Ok(self.entries(room.entries.min(SEGMENT).min(fitting), 1_000))
            }
            "gap" => {
                self.yielded = 1;
                Ok(TailEvent::Gap(Box::new(
                    Gap::new("0-0", "4-0").first(Some("5-0".to_owned())),
                )))
            }
            "broken" => Err(CacheError::from_code("WRONGTYPE", "no stream")),
            _ => return Poll::Pending,
        })
    }
}
