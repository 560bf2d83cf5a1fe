//! Orders of events that a real Redis brings about only rarely.

use std::future::poll_fn;

use futures_util::FutureExt;
use streamgate_backend::tail::gap::StreamInfo;
use streamgate_protocol::Entry;
use tokio::sync::Semaphore;

use super::*;
use crate::hub::feed::feed_queue::FeedEvent;
use crate::tail::range::InfoReply;

struct FeedFixture {
    feed: Feed,
    total: QueuedBytes,
    numbers: u64,
}

fn id(n: u64) -> EntryId {
    EntryId::parse(&n.to_string()).unwrap()
}

fn entries(ids: &[u64]) -> Vec<Entry> {
    let entry = |n: &u64| Entry::new(id(*n), [("f", "v")]);
    ids.iter().map(entry).collect()
}

/// The reply to a read that finds the entry at the feed's position.
fn page(ids: &[u64]) -> RangeReply {
    RangeReply {
        position_exists: true,
        entries: entries(ids),
        is_full: false,
        info: InfoReply::NotRequested,
        looked_up: Vec::new(),
    }
}

impl FeedFixture {
    /// A feed after the entry `n`, of a stream that has counted `n` entries.
    fn at_position(n: u64) -> Self {
        Self::with_cursor(TailCursor::new(id(n), Some(n)))
    }

    fn with_cursor(cursor: TailCursor) -> Self {
        Self {
            feed: Feed::new(cursor),
            total: QueuedBytes::default(),
            numbers: 0,
        }
    }

    fn join(&mut self, at: u64) -> Arc<FeedQueue> {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let queue = Arc::new(FeedQueue::new(Arc::new(permit)));
        self.numbers += 1;
        let cursor = TailCursor::new(id(at), Some(at));
        let subscriber = FeedSubscriber::new(self.numbers, Arc::clone(&queue), cursor, false);
        self.feed.join(subscriber);
        queue
    }

    /// Starts a read, as after a change of the stream.
    fn start(&mut self) -> RangeRequest {
        self.feed.due = true;
        self.feed.start_read().unwrap()
    }

    fn finish(&mut self, read: RangeRequest, range: RangeReply) -> Option<EntryId> {
        self.feed.finish_read(read, range, &self.total).unwrap()
    }

    fn read(&mut self, range: RangeReply) -> Option<EntryId> {
        let read = self.start();
        self.finish(read, range)
    }
}

fn next(queue: &FeedQueue) -> Option<FeedEvent> {
    poll_fn(|cx| queue.poll(cx)).now_or_never()
}

/// Returns the ids of all queued entries.
fn queued_ids(queue: &FeedQueue) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(event) = next(queue) {
        match event {
            FeedEvent::Joined(_) => {}
            FeedEvent::Segment(queued) => {
                ids.extend(
                    queued
                        .segment
                        .entries()
                        .iter()
                        .map(|entry| entry.id.clone()),
                );
            }
            other => panic!("not a segment: {other:?}"),
        }
    }
    ids
}

/// The reply to a read with info: the stream's `first` entry, its `last` generated id, its length
/// and its count of added entries; whether the position exists, and the entries after it.
fn page_with_info(
    first: u64,
    last: u64,
    length: u64,
    added: u64,
    position_exists: bool,
    ids: &[u64],
) -> RangeReply {
    let info = StreamInfo::new(Some(id(first)), id(last), length, added);
    RangeReply {
        position_exists,
        entries: entries(ids),
        is_full: false,
        info: InfoReply::Info(info),
        looked_up: Vec::new(),
    }
}

#[test]
fn all_subscribers_share_one_segment() {
    let mut fixture = FeedFixture::at_position(5);
    let queues = [fixture.join(5), fixture.join(5)];
    assert_eq!(fixture.read(page(&[6, 7])), Some(id(7)));
    assert!(!fixture.feed.due);
    let [one, other] = queues.map(|queue| {
        assert!(matches!(next(&queue), Some(FeedEvent::Joined(at)) if at == id(5)));
        match next(&queue) {
            Some(FeedEvent::Segment(queued)) => queued,
            other => panic!("not a segment: {other:?}"),
        }
    });
    assert!(Arc::ptr_eq(&one, &other));
}

#[test]
fn a_subscriber_that_is_behind_learns_the_feeds_position() {
    let mut fixture = FeedFixture::at_position(5);
    let _first = fixture.join(5);
    let behind = fixture.join(2);
    assert!(matches!(next(&behind), Some(FeedEvent::Joined(at)) if at == id(5)));
    assert!(!fixture.feed.due, "the tail reads by itself");
    fixture.read(page(&[6]));
    assert_eq!(queued_ids(&behind), ["6-0"]);
}

#[test]
fn a_subscriber_that_is_ahead_is_confirmed_by_the_entries_that_the_feed_reads() {
    let mut fixture = FeedFixture::at_position(5);
    let _first = fixture.join(5);
    let ahead = fixture.join(7);
    let read = fixture.feed.start_read().unwrap();
    assert!(read.with_info);
    fixture.finish(read, page_with_info(1, 7, 7, 7, true, &[6, 7]));
    assert!(!fixture.start().with_info);
    // The tail skips what it has read.
    assert_eq!(queued_ids(&ahead), ["6-0", "7-0"]);
}

#[test]
fn a_subscriber_ahead_of_deleted_entries_is_confirmed_once() {
    let mut fixture = FeedFixture::at_position(5);
    let (first, ahead) = (fixture.join(5), fixture.join(7));
    let read = fixture.feed.start_read().unwrap();
    assert_eq!(
        fixture.finish(read, page_with_info(1, 7, 5, 7, true, &[])),
        Some(id(7))
    );
    assert!(!fixture.feed.due);
    let next = RangeReply {
        position_exists: false,
        ..page_with_info(1, 8, 6, 8, false, &[8])
    };
    fixture.read(next);
    assert_eq!(
        (queued_ids(&first), queued_ids(&ahead)),
        (vec!["8-0".into()], vec!["8-0".into()])
    );
}

#[test]
fn a_subscriber_ahead_of_a_recreated_stream_lags() {
    let mut fixture = FeedFixture::at_position(5);
    let (first, ahead) = (fixture.join(5), fixture.join(70));
    let read = fixture.feed.start_read().unwrap();
    fixture.finish(read, page_with_info(1, 6, 6, 6, true, &[6]));
    assert_eq!(queued_ids(&first), ["6-0"]);
    next(&ahead);
    assert!(matches!(next(&ahead), Some(FeedEvent::Lagged)));
}

#[test]
fn a_read_in_flight_does_not_confirm_a_later_subscriber() {
    let mut fixture = FeedFixture::at_position(5);
    let _first = fixture.join(5);
    let _second = fixture.join(6);
    let read = fixture.feed.start_read().unwrap();
    let third = fixture.join(8);
    fixture.finish(read, page_with_info(1, 6, 6, 6, true, &[6]));
    assert_eq!(queued_ids(&third), ["6-0"], "it is still subscribed");
    let read = fixture.feed.start_read().unwrap();
    assert!(read.with_info);
    fixture.finish(read, page_with_info(1, 8, 8, 8, true, &[7, 8]));
    assert_eq!(queued_ids(&third), ["7-0", "8-0"]);
}

#[test]
fn a_missing_entry_makes_the_next_read_include_info_and_a_gap_reaches_all() {
    let mut fixture = FeedFixture::at_position(5);
    let queue = fixture.join(5);
    let without_position = RangeReply {
        position_exists: false,
        ..page(&[9])
    };
    assert_eq!(fixture.read(without_position), None);
    let read = fixture.feed.start_read().unwrap();
    assert!(read.with_info);
    fixture.finish(read, page_with_info(9, 9, 1, 9, false, &[9]));
    next(&queue);
    assert!(matches!(next(&queue), Some(FeedEvent::Gap(gap)) if gap.first == Some(id(9))));
    assert_eq!(queued_ids(&queue), ["9-0"]);
    assert!(
        fixture.start().with_info,
        "the entry at the position was missing"
    );
}

#[test]
fn an_unknown_count_of_added_entries_is_read_once_at_the_end() {
    let mut fixture = FeedFixture::with_cursor(TailCursor::new(id(5), None));
    let queue = fixture.join(5);
    assert_eq!(fixture.read(page(&[6])), None);
    let read = fixture.feed.start_read().unwrap();
    assert!(read.with_info);
    let end = fixture.finish(read, page_with_info(1, 6, 6, 6, true, &[]));
    assert_eq!(end, Some(id(6)));
    assert!(!fixture.start().with_info);
    let read = fixture.start();
    assert_eq!(fixture.finish(read, page(&[7])), Some(id(7)));
    let without_position = RangeReply {
        position_exists: false,
        ..page(&[8])
    };
    assert_eq!(fixture.read(without_position), None);
    fixture.read(page_with_info(8, 8, 1, 8, false, &[8]));
    assert_eq!(queued_ids(&queue), ["6-0", "7-0", "8-0"], "and no gap");
}

#[test]
fn only_the_slow_subscriber_lags() {
    let mut fixture = FeedFixture::at_position(1);
    let (slow, quick) = (fixture.join(1), fixture.join(1));
    for n in 2..100 {
        fixture.read(page(&[n]));
        assert_eq!(queued_ids(&quick), [id(n).to_string()]);
    }
    next(&slow);
    assert!(matches!(next(&slow), Some(FeedEvent::Lagged)));
    assert_eq!(fixture.total.get(), 0);
    fixture.feed.leave(2);
    assert!(fixture.feed.is_empty());
}

#[test]
fn the_reply_to_an_earlier_feeds_read_is_ignored() {
    let mut fixture = FeedFixture::at_position(5);
    let _queue = fixture.join(5);
    let read = TailCursor::new(id(3), None).request(1);
    assert_eq!(fixture.finish(read, page(&[4, 5])), None);
    assert!(fixture.feed.due);
}

#[test]
fn dropping_the_feed_ends_its_tails() {
    let mut fixture = FeedFixture::at_position(5);
    let queue = fixture.join(5);
    drop(fixture);
    next(&queue);
    assert!(matches!(next(&queue), Some(FeedEvent::Ended(_))));
}
