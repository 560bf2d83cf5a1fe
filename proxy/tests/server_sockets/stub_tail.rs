//! A tail that gives what its stream's key says.

use std::task::{Context, Poll};

use streamgate_backend::{Segment, TailEvent, TailSource};
use streamgate_protocol::limits::MAX_REPLY_BYTES;
use streamgate_protocol::message::Credit;
use streamgate_protocol::{CacheError, CacheResult, Gap};
use tokio::sync::watch;

/// Entries of the tail `endless` come three at a time, if there is room for so many.
const SEGMENT: u64 = 3;

/// The first item says where it stands, and then, by the stream's key:
///
/// - `endless`: as many entries as there is room for, of 1,000 bytes each;
/// - `gap`: a gap;
/// - `broken`: an error;
/// - `huge`: an entry that is too large to be sent;
/// - any other: nothing.
pub(crate) struct Follower {
    key: String,
    given: u64,
    begun: bool,
    produced: watch::Sender<usize>,
    _running: Running,
}

/// Counts the tails that there are.
struct Running(watch::Sender<usize>);

impl Follower {
    pub(crate) fn new(
        key: &str,
        running: watch::Sender<usize>,
        produced: watch::Sender<usize>,
    ) -> Self {
        running.send_modify(|running| *running += 1);
        Self {
            key: key.to_owned(),
            given: 0,
            begun: false,
            produced,
            _running: Running(running),
        }
    }

    fn entries(&mut self, count: u64, bytes: usize) -> TailEvent {
        let entry = |n: u64| (format!("{n}-0"), vec![(String::new(), "x".repeat(bytes))]);
        let first = self.given + 1;
        self.given += count;
        let total = count as usize * bytes;
        self.produced.send_modify(|produced| *produced += total);
        TailEvent::Segment(Segment::new((first..=self.given).map(entry).collect()))
    }
}

impl TailSource for Follower {
    fn poll_next(&mut self, _: &mut Context<'_>, room: Credit) -> Poll<CacheResult<TailEvent>> {
        if !std::mem::replace(&mut self.begun, true) {
            let item = TailEvent::Segment(Segment::position_only("0-0".to_owned()));
            return Poll::Ready(Ok(item));
        }
        if room.is_used_up() || (self.given > 0 && self.key != "endless") {
            return Poll::Pending;
        }
        Poll::Ready(match self.key.as_str() {
            "endless" => {
                // Each costs three bytes more than its value, for its id.
                let fitting = room.bytes.div_ceil(1_003);
                Ok(self.entries(room.entries.min(SEGMENT).min(fitting), 1_000))
            }
            "gap" => {
                self.given = 1;
                Ok(TailEvent::Gap(Box::new(Gap {
                    after: "0-0".to_owned(),
                    first: Some("5-0".to_owned()),
                    recreated: false,
                    position: "4-0".to_owned(),
                })))
            }
            "huge" => Ok(self.entries(1, MAX_REPLY_BYTES + 1)),
            "broken" => Err(CacheError::from_code("WRONGTYPE", "no stream")),
            _ => return Poll::Pending,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}
