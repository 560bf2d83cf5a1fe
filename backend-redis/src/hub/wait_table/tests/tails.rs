//! Feeds beside other waiters, and the bound on queued bytes.

use std::future::poll_fn;

use futures_util::FutureExt;

use super::*;
use crate::hub::feed::feed_queue::{FeedEvent, FeedQueue};
use crate::hub::feed::queued_segment::MAX_TOTAL_QUEUED_BYTES;
use crate::tail::cursor::TailCursor;

/// Joins the feed of a stream with a cursor at `5-0`.
fn join_feed(fixture: &mut TableFixture, stream: &[u8]) -> Arc<FeedQueue> {
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let queue = Arc::new(FeedQueue::new(Arc::new(permit)));
    let number = fixture.wait_queues.next_number();
    let cursor = TailCursor::new(id("5-0"), Some(5));
    let subscriber = FeedSubscriber::new(number, Arc::clone(&queue), cursor, false);
    let message = HubMessage::JoinFeed(stream.into(), subscriber);
    fixture.table.handle(message);
    queue
}

#[test]
fn an_error_of_the_feeds_read_ends_the_tails_only() {
    let mut fixture = TableFixture::new();
    let queue = join_feed(&mut fixture, b"s");
    let mut reader = fixture.read_after("5-0", 1);
    let mut consumer = fixture.read_group(None);
    let probe = fixture.start_probe(id("5-0"), 1, 1);
    // Not a reply to `XRANGE`.
    fixture.reply(probe, vec![Value::Nil, Value::Okay, Value::Nil], 0);
    let _joined = poll_fn(|cx| queue.poll(cx)).now_or_never();
    let ended = poll_fn(|cx| queue.poll(cx)).now_or_never();
    assert!(matches!(ended, Some(FeedEvent::Ended(_))));
    assert!(is_waiting(&mut reader) && is_waiting(&mut consumer));
    fixture.start_probe(id("5-0"), 1, 0);
}

#[test]
fn beyond_the_bound_on_queued_bytes_every_slow_tail_lags() {
    let mut fixture = TableFixture::new();
    let join_and_probe = |fixture: &mut TableFixture, stream: &[u8]| {
        let queue = join_feed(fixture, stream);
        let probe = fixture.table.next_probe().unwrap();
        assert_eq!(probe.read, None, "the feed's read arms");
        (queue, probe)
    };
    let rows = |bytes: usize| {
        let bulk = |bytes: Vec<u8>| Value::BulkString(bytes);
        let row = |id: &str, bytes| {
            let fields = vec![bulk(b"f".to_vec()), bulk(vec![b'v'; bytes])];
            Value::Array(vec![bulk(id.into()), Value::Array(fields)])
        };
        Value::Array(vec![row("5-0", 1), row("6-0", bytes)])
    };
    let next = |queue: &FeedQueue| {
        let _joined = poll_fn(|cx| queue.poll(cx)).now_or_never();
        poll_fn(|cx| queue.poll(cx)).now_or_never()
    };
    let (small, probe) = join_and_probe(&mut fixture, b"small");
    fixture.reply(probe, vec![rows(1)], 0);
    let (idle, probe) = join_and_probe(&mut fixture, b"idle");
    let Value::Array(mut only_position) = rows(1) else {
        panic!("rows are an array")
    };
    only_position.truncate(1);
    fixture.reply(probe, vec![Value::Array(only_position)], 0);
    let (large, probe) = join_and_probe(&mut fixture, b"large");
    fixture.reply(probe, vec![rows(MAX_TOTAL_QUEUED_BYTES)], 0);
    for queue in [small, large] {
        assert!(matches!(next(&queue), Some(FeedEvent::Lagged)));
    }
    assert!(next(&idle).is_none());
    assert_eq!(fixture.table.queued_bytes.get(), 0);
}
