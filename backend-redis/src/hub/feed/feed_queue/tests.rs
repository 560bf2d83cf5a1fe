use std::future::poll_fn;

use futures_util::FutureExt;
use streamgate_protocol::Entry;
use streamgate_protocol::error::code;
use tokio::sync::Semaphore;

use super::*;
use crate::hub::feed::queued_segment::QueuedBytes;

fn queue() -> FeedQueue {
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    FeedQueue::new(Arc::new(permit))
}

fn segment(n: u64, bytes: usize, total: &QueuedBytes) -> Arc<QueuedSegment> {
    let id = EntryId::parse(&n.to_string()).unwrap();
    let entry = Entry::new(id, [("", "v".repeat(bytes))]);
    QueuedSegment::new(vec![entry], id, id, total)
}

fn next(queue: &FeedQueue) -> Option<FeedEvent> {
    poll_fn(|cx| queue.poll(cx)).now_or_never()
}

fn end_without_room(queue: &FeedQueue) -> Option<FeedEvent> {
    poll_fn(|cx| queue.poll_end(cx)).now_or_never()
}

fn last_id(event: Option<FeedEvent>) -> Option<u64> {
    match event? {
        FeedEvent::Segment(queued) => queued.last.to_string().split('-').next()?.parse().ok(),
        other => panic!("not a segment: {other:?}"),
    }
}

#[test]
fn segments_come_in_order_after_the_joined_event() {
    let (queue, total) = (queue(), QueuedBytes::default());
    queue.send_joined(EntryId::ZERO);
    for n in 1..=3 {
        assert!(queue.push(&segment(n, 10, &total)));
    }
    assert!(matches!(
        next(&queue),
        Some(FeedEvent::Joined(EntryId::ZERO))
    ));
    for n in 1..=3 {
        assert_eq!(last_id(next(&queue)), Some(n));
    }
    assert!(next(&queue).is_none());
    assert_eq!(total.get(), 0, "no queue holds a segment any more");
}

#[test]
fn an_empty_queue_takes_a_segment_of_any_size_but_only_one() {
    let (queue, total) = (queue(), QueuedBytes::default());
    assert!(queue.push(&segment(1, 2 * MAX_QUEUE_BYTES, &total)));
    assert!(!queue.push(&segment(2, 1, &total)));
    assert!(matches!(next(&queue), Some(FeedEvent::Lagged)));
    assert_eq!(total.get(), 0, "a queue that lags holds nothing");
}

#[test]
fn the_number_of_segments_is_bounded() {
    let (queue, total) = (queue(), QueuedBytes::default());
    for n in 0..MAX_QUEUE_SEGMENTS as u64 {
        assert!(queue.push(&segment(n, 1, &total)));
    }
    assert!(!queue.push(&segment(99, 1, &total)));
    assert!(matches!(next(&queue), Some(FeedEvent::Lagged)));
}

#[test]
fn a_segment_that_is_put_back_comes_first_unless_the_queue_lags() {
    let (queue, total) = (queue(), QueuedBytes::default());
    for n in 1..=2 {
        queue.push(&segment(n, 1, &total));
    }
    let Some(FeedEvent::Segment(first)) = next(&queue) else {
        panic!("two segments are queued")
    };
    queue.put_back(Arc::clone(&first));
    assert_eq!(last_id(next(&queue)), Some(1));
    queue.lag();
    queue.put_back(first);
    assert!(matches!(next(&queue), Some(FeedEvent::Lagged)));
}

#[test]
fn an_error_follows_queued_segments_or_overtakes_them_without_room() {
    let (queue, total) = (queue(), QueuedBytes::default());
    queue.push(&segment(1, 1, &total));
    assert!(
        end_without_room(&queue).is_none(),
        "no segment without room"
    );
    queue.end(CacheError::backend(code::WRONGTYPE, ""));
    queue.end(CacheError::backend(code::ERR, ""));
    assert!(matches!(
        end_without_room(&queue),
        Some(FeedEvent::Ended(_))
    ));
    assert_eq!(last_id(next(&queue)), Some(1));
    let Some(FeedEvent::Ended(error)) = next(&queue) else {
        panic!("the queue has ended")
    };
    assert_eq!(error.code(), "WRONGTYPE", "the first error counts");
}

#[test]
fn an_empty_queue_is_not_made_to_lag() {
    let (queue, total) = (queue(), QueuedBytes::default());
    assert!(queue.lag_unless_empty());
    assert!(next(&queue).is_none());
    queue.push(&segment(1, 1, &total));
    assert!(!queue.lag_unless_empty());
    assert!(matches!(next(&queue), Some(FeedEvent::Lagged)));
}
