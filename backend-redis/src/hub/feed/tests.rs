//! The order of events that a real Redis brings about only now and then.

use std::future::poll_fn;

use futures_util::FutureExt;
use streamgate_protocol::StreamEntry;
use tokio::sync::Semaphore;

use super::*;
use crate::hub::feed::feed_queue::FeedEvent;
use crate::tail::range::InfoReply;
use streamgate_backend::tail::gap::StreamInfo;

struct Fixture {
    feed: Feed,
    total: QueuedBytes,
    numbers: u64,
}

fn id(n: u64) -> EntryId {
    EntryId::parse(&n.to_string()).unwrap()
}

fn entries(ids: &[u64]) -> Vec<StreamEntry> {
    let entry = |n: &u64| (id(*n).to_string(), vec![("f".to_owned(), "v".to_owned())]);
    ids.iter().map(entry).collect()
}

/// What a read finds that includes the entry it began at.
fn found(ids: &[u64]) -> RangeReply {
    RangeReply {
        present: true,
        entries: entries(ids),
        full: false,
        known: InfoReply::NotRequested,
    }
}

impl Fixture {
    /// A feed that stands at an entry.
    fn at(n: u64) -> Self {
        Self::cursor(TailCursor::new(id(n), Some(n)))
    }

    fn cursor(cursor: TailCursor) -> Self {
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
        let subscriber = FeedSubscriber::new(self.numbers, Arc::clone(&queue), cursor);
        self.feed.join(subscriber);
        queue
    }

    /// A read that is made because the stream has changed.
    fn start(&mut self) -> RangeRequest {
        self.feed.due = true;
        self.feed.start().unwrap()
    }

    fn finish(&mut self, read: RangeRequest, range: RangeReply) -> Option<EntryId> {
        self.feed.finish(read, range, &self.total).unwrap()
    }

    fn read(&mut self, range: RangeReply) -> Option<EntryId> {
        let read = self.start();
        self.finish(read, range)
    }
}

fn take(queue: &FeedQueue) -> Option<FeedEvent> {
    poll_fn(|cx| queue.poll(cx)).now_or_never()
}

/// The ids that came, behind the place of joining.
fn taken(queue: &FeedQueue) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(news) = take(queue) {
        match news {
            FeedEvent::Joined(_) => {}
            FeedEvent::Segment(live) => {
                ids.extend(live.segment.entries().iter().map(|(id, _)| id.clone()));
            }
            other => panic!("no entries: {other:?}"),
        }
    }
    ids
}

fn checked(
    first: u64,
    last: u64,
    length: u64,
    added: u64,
    present: bool,
    ids: &[u64],
) -> RangeReply {
    let facts = StreamInfo::new(Some(id(first)), id(last), length, added);
    RangeReply {
        present,
        entries: entries(ids),
        full: false,
        known: InfoReply::Info(facts),
    }
}

#[test]
fn all_share_one_segment() {
    let mut test = Fixture::at(5);
    let queues = [test.join(5), test.join(5)];
    assert_eq!(test.read(found(&[6, 7])), Some(id(7)));
    assert!(!test.feed.due);
    let [one, other] = queues.map(|queue| {
        assert!(matches!(take(&queue), Some(FeedEvent::Joined(at)) if at == id(5)));
        match take(&queue) {
            Some(FeedEvent::Segment(live)) => live,
            other => panic!("no entries: {other:?}"),
        }
    });
    assert!(Arc::ptr_eq(&one, &other));
}

#[test]
fn who_has_seen_less_is_told_where_the_feed_stands() {
    let mut test = Fixture::at(5);
    let _first = test.join(5);
    let behind = test.join(2);
    assert!(matches!(take(&behind), Some(FeedEvent::Joined(at)) if at == id(5)));
    assert!(!test.feed.due, "it reads by itself");
    test.read(found(&[6]));
    assert_eq!(taken(&behind), ["6-0"]);
}

#[test]
fn who_has_seen_more_is_confirmed_by_what_the_feed_reads() {
    let mut test = Fixture::at(5);
    let _first = test.join(5);
    let ahead = test.join(7);
    let read = test.feed.start().unwrap();
    assert!(read.checked);
    test.finish(read, checked(1, 7, 7, 7, true, &[6, 7]));
    assert!(!test.start().checked);
    // It filters by itself.
    assert_eq!(taken(&ahead), ["6-0", "7-0"]);
}

#[test]
fn who_has_seen_what_was_deleted_stays_and_is_not_confirmed_again() {
    let mut test = Fixture::at(5);
    let (first, ahead) = (test.join(5), test.join(7));
    let read = test.feed.start().unwrap();
    assert_eq!(
        test.finish(read, checked(1, 7, 5, 7, true, &[])),
        Some(id(7))
    );
    assert!(!test.feed.due);
    let next = RangeReply {
        present: false,
        ..checked(1, 8, 6, 8, false, &[8])
    };
    test.read(next);
    assert_eq!(
        (taken(&first), taken(&ahead)),
        (vec!["8-0".into()], vec!["8-0".into()])
    );
}

#[test]
fn who_has_seen_another_stream_looks_for_itself() {
    let mut test = Fixture::at(5);
    let (first, ahead) = (test.join(5), test.join(70));
    let read = test.feed.start().unwrap();
    test.finish(read, checked(1, 6, 6, 6, true, &[6]));
    assert_eq!(taken(&first), ["6-0"]);
    take(&ahead);
    assert!(matches!(take(&ahead), Some(FeedEvent::Lagged)));
}

#[test]
fn a_read_under_way_does_not_confirm_who_comes_later() {
    let mut test = Fixture::at(5);
    let _first = test.join(5);
    let _second = test.join(6);
    let read = test.feed.start().unwrap();
    let third = test.join(8);
    test.finish(read, checked(1, 6, 6, 6, true, &[6]));
    assert_eq!(taken(&third), ["6-0"], "it still takes part");
    let read = test.feed.start().unwrap();
    assert!(read.checked);
    test.finish(read, checked(1, 8, 8, 8, true, &[7, 8]));
    assert_eq!(taken(&third), ["7-0", "8-0"]);
}

#[test]
fn a_missing_entry_is_judged_by_a_check_and_its_gap_told_to_all() {
    let mut test = Fixture::at(5);
    let queue = test.join(5);
    let absent = RangeReply {
        present: false,
        ..found(&[9])
    };
    assert_eq!(test.read(absent), None);
    let read = test.feed.start().unwrap();
    assert!(read.checked);
    test.finish(read, checked(9, 9, 1, 9, false, &[9]));
    take(&queue);
    assert!(matches!(take(&queue), Some(FeedEvent::Gap(gap)) if gap.first == Some(id(9))));
    assert_eq!(taken(&queue), ["9-0"]);
    assert!(
        test.start().checked,
        "the entry was missing when last looked for"
    );
}

#[test]
fn how_many_were_ever_added_is_asked_once_if_it_is_not_known_at_the_end() {
    let mut test = Fixture::cursor(TailCursor::new(id(5), None));
    let queue = test.join(5);
    assert_eq!(test.read(found(&[6])), None);
    let read = test.feed.start().unwrap();
    assert!(read.checked);
    let end = test.finish(read, checked(1, 6, 6, 6, true, &[]));
    assert_eq!(end, Some(id(6)));
    assert!(!test.start().checked);
    let read = test.start();
    assert_eq!(test.finish(read, found(&[7])), Some(id(7)));
    let absent = RangeReply {
        present: false,
        ..found(&[8])
    };
    assert_eq!(test.read(absent), None);
    test.read(checked(8, 8, 1, 8, false, &[8]));
    assert_eq!(taken(&queue), ["6-0", "7-0", "8-0"], "and no gap");
}

#[test]
fn who_is_slow_falls_behind_and_nobody_else() {
    let mut test = Fixture::at(1);
    let (slow, quick) = (test.join(1), test.join(1));
    for n in 2..100 {
        test.read(found(&[n]));
        assert_eq!(taken(&quick), [id(n).to_string()]);
    }
    take(&slow);
    assert!(matches!(take(&slow), Some(FeedEvent::Lagged)));
    assert_eq!(test.total.get(), 0);
    test.feed.leave(2);
    assert!(test.feed.is_empty());
}

#[test]
fn the_answer_to_an_earlier_feeds_read_is_not_taken() {
    let mut test = Fixture::at(5);
    let _queue = test.join(5);
    let read = TailCursor::new(id(3), None).read(1);
    assert_eq!(test.finish(read, found(&[4, 5])), None);
    assert!(test.feed.due);
}

#[test]
fn when_the_hub_ends_so_do_all() {
    let mut test = Fixture::at(5);
    let queue = test.join(5);
    drop(test);
    take(&queue);
    assert!(matches!(take(&queue), Some(FeedEvent::Ended(_))));
}
