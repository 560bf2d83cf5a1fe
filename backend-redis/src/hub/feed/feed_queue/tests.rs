use std::future::poll_fn;

use futures_util::FutureExt;
use streamgate_protocol::error::code;
use tokio::sync::Semaphore;

use super::*;

fn queue() -> FeedQueue {
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    FeedQueue::new(Arc::new(permit))
}

fn live(n: u64, bytes: usize, total: &QueuedBytes) -> Arc<QueuedSegment> {
    let id = EntryId::parse(&n.to_string()).unwrap();
    let entry = (id.to_string(), vec![(String::new(), "v".repeat(bytes))]);
    QueuedSegment::new(vec![entry], id, id, total)
}

fn take(queue: &FeedQueue) -> Option<FeedEvent> {
    poll_fn(|cx| queue.poll(cx)).now_or_never()
}

fn take_end(queue: &FeedQueue) -> Option<FeedEvent> {
    poll_fn(|cx| queue.poll_end(cx)).now_or_never()
}

fn last_id(news: Option<FeedEvent>) -> Option<u64> {
    match news? {
        FeedEvent::Segment(live) => live.last.to_string().split('-').next()?.parse().ok(),
        other => panic!("no segment: {other:?}"),
    }
}

#[test]
fn what_is_pushed_comes_in_order_behind_the_place_it_joined_at() {
    let (queue, total) = (queue(), QueuedBytes::default());
    queue.join(EntryId::ZERO);
    for n in 1..=3 {
        assert!(queue.push(&live(n, 10, &total)));
    }
    assert!(matches!(
        take(&queue),
        Some(FeedEvent::Joined(EntryId::ZERO))
    ));
    for n in 1..=3 {
        assert_eq!(last_id(take(&queue)), Some(n));
    }
    assert!(take(&queue).is_none());
    assert_eq!(total.get(), 0, "nobody holds them any more");
}

#[test]
fn one_segment_has_room_whatever_its_size_and_another_has_not() {
    let (queue, total) = (queue(), QueuedBytes::default());
    assert!(queue.push(&live(1, 2 * MAX_QUEUED_BYTES, &total)));
    assert!(!queue.push(&live(2, 1, &total)));
    assert!(matches!(take(&queue), Some(FeedEvent::Lagged)));
    assert_eq!(total.get(), 0, "who fell behind holds nothing");
}

#[test]
fn segments_are_counted_too() {
    let (queue, total) = (queue(), QueuedBytes::default());
    for n in 0..MAX_QUEUED as u64 {
        assert!(queue.push(&live(n, 1, &total)));
    }
    assert!(!queue.push(&live(99, 1, &total)));
    assert!(matches!(take(&queue), Some(FeedEvent::Lagged)));
}

#[test]
fn what_is_put_back_comes_first_unless_it_fell_behind() {
    let (queue, total) = (queue(), QueuedBytes::default());
    for n in 1..=2 {
        queue.push(&live(n, 1, &total));
    }
    let Some(FeedEvent::Segment(first)) = take(&queue) else {
        panic!("there is one")
    };
    queue.put_back(Arc::clone(&first));
    assert_eq!(last_id(take(&queue)), Some(1));
    queue.lag();
    queue.put_back(first);
    assert!(matches!(take(&queue), Some(FeedEvent::Lagged)));
}

#[test]
fn an_error_comes_behind_what_is_queued_or_at_once_without_room() {
    let (queue, total) = (queue(), QueuedBytes::default());
    queue.push(&live(1, 1, &total));
    assert!(take_end(&queue).is_none(), "without room nothing comes");
    queue.end(CacheError::backend(code::WRONGTYPE, ""));
    queue.end(CacheError::backend(code::ERR, ""));
    assert!(matches!(take_end(&queue), Some(FeedEvent::Ended(_))));
    assert_eq!(last_id(take(&queue)), Some(1));
    let Some(FeedEvent::Ended(error)) = take(&queue) else {
        panic!("it has ended")
    };
    assert_eq!(error.code(), "WRONGTYPE", "the first error counts");
}

#[test]
fn only_who_holds_something_falls_behind() {
    let (queue, total) = (queue(), QueuedBytes::default());
    assert!(queue.lag_if_waiting());
    assert!(take(&queue).is_none());
    queue.push(&live(1, 1, &total));
    assert!(!queue.lag_if_waiting());
    assert!(matches!(take(&queue), Some(FeedEvent::Lagged)));
}
