//! Orders of events that a real Redis brings about only rarely.

use std::future::poll_fn;
use std::time::Duration;

use futures_util::FutureExt;
use redis::Value;
use streamgate_protocol::{CacheResult, EntryId};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Semaphore, oneshot};

use super::*;
use crate::connection::barrier::Barrier;
use crate::hub::feed::FeedSubscriber;
use crate::hub::feed::feed_queue::{FeedEvent, FeedQueue};
use crate::hub::group::cancel_guard::guard_pair;
use crate::hub::group::wait_queue::{Admission, GroupKey};
use crate::hub::probe::ArmingRead;
use crate::hub::shared_entries::SharedEntries;
use crate::hub::waiter::Waiter;
use crate::tail::cursor::TailCursor;

type Reply = oneshot::Receiver<CacheResult<SharedEntries>>;

struct TableFixture {
    table: WaitTable,
    wait_queues: Arc<WaitQueues>,
    ended_attempts: UnboundedReceiver<GroupKey>,
    start: Instant,
}

impl TableFixture {
    fn new() -> Self {
        let (wait_queues, ended_attempts) = WaitQueues::new();
        let wait_queues = Arc::new(wait_queues);
        let table = WaitTable::new(Arc::clone(&wait_queues));
        Self {
            table,
            wait_queues,
            ended_attempts,
            start: Instant::now(),
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn waiter(deadline: Option<Instant>) -> (Waiter, Reply) {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let (reply, receiver) = oneshot::channel();
        let waiter = Waiter {
            deadline,
            reply,
            _permit: permit,
        };
        (waiter, receiver)
    }

    fn read_after(&mut self, after: &str, count: u64) -> Reply {
        let (waiter, reply) = Self::waiter(None);
        let (number, after) = (
            self.wait_queues.next_number(),
            EntryId::parse(after).unwrap(),
        );
        let reader = ReadWaiter {
            number,
            waiter,
            after,
            count,
        };
        self.table.handle(HubMessage::Read("s".into(), reader));
        reply
    }

    fn join(&self) -> Admission {
        let key = GroupKey {
            stream: "s".into(),
            group: "g".into(),
        };
        self.wait_queues.join(key)
    }

    fn read_group(&mut self, deadline: Option<Instant>) -> Reply {
        let slot = match self.join() {
            Admission::First(attempt) => attempt.wait(),
            Admission::Queued(slot) => slot,
        };
        let (waiter, reply) = Self::waiter(deadline);
        let (delivery, _) = guard_pair(&Barrier::default());
        let consumer = GroupReadWaiter {
            waiter,
            slot,
            delivery,
            name: "c".into(),
            count: 1,
        };
        self.table.handle(HubMessage::ReadGroup(consumer));
        reply
    }

    /// Starts the next probe, and checks what it reads.
    fn start_probe(&mut self, after: EntryId, count: u64, group_reads: usize) -> Probe {
        let probe = self.table.next_probe().expect("a probe is due");
        assert_eq!(probe.read, Some(ArmingRead { after, count }));
        assert_eq!(probe.group_reads.len(), group_reads);
        probe
    }

    /// Replies to a probe. If the probe asks for the last entry and `values` does not have it, that
    /// is one after all others.
    fn reply(&mut self, probe: Probe, mut values: Vec<Value>, ms: u64) {
        if probe.find_end && values.len() == probe.group_reads.len() + 1 {
            values.insert(0, last_entry(&EntryId::MAX.to_string()));
        }
        self.table.finish_probe(probe, Ok(values), self.at(ms));
    }
}

fn id(text: &str) -> EntryId {
    EntryId::parse(text).unwrap()
}

/// The reply to a read that finds entries.
fn entries(ids: &[&str]) -> Value {
    let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
    let entry = |id: &&str| Value::Array(vec![bulk(id), Value::Array(vec![bulk("f"), bulk("v")])]);
    Value::Map(vec![(
        bulk("s"),
        Value::Array(ids.iter().map(entry).collect()),
    )])
}

/// The reply to `XREVRANGE` with the last entry.
fn last_entry(id: &str) -> Value {
    match entries(&[id]) {
        Value::Map(mut streams) => streams.remove(0).1,
        other => panic!("no streams: {other:?}"),
    }
}

fn received_ids(reply: &mut Reply) -> Vec<String> {
    let entries = reply.try_recv().expect("a reply").expect("no error");
    entries
        .into_entries()
        .into_iter()
        .map(|(id, _)| id)
        .collect()
}

fn is_waiting(reply: &mut Reply) -> bool {
    matches!(reply.try_recv(), Err(oneshot::error::TryRecvError::Empty))
}

#[test]
fn an_invalidation_that_overtakes_the_reply_causes_another_read() {
    let mut fixture = TableFixture::new();
    let mut reader = fixture.read_after("5", 1);
    let probe = fixture.start_probe(id("5"), 1, 0);
    fixture.table.invalidated("s", fixture.start);
    assert!(fixture.table.next_probe().is_none(), "one probe at a time");
    fixture.reply(probe, vec![Value::Nil], 0);
    let probe = fixture.start_probe(id("5"), 1, 0);
    fixture.reply(probe, vec![entries(&["6-0"])], 0);
    assert_eq!(received_ids(&mut reader), ["6-0"]);
    assert!(fixture.table.is_empty());
}

#[test]
fn a_later_reader_gets_entries_that_an_earlier_read_found() {
    let mut fixture = TableFixture::new();
    let mut first = fixture.read_after("5", 1);
    let mut far = fixture.read_after("9", 1);
    let probe = fixture.start_probe(id("5"), 1, 0);
    fixture.reply(probe, vec![entries(&["6-0"])], 0);
    assert_eq!(received_ids(&mut first), ["6-0"]);
    // The reply has as many entries as requested, so there may be more.
    let probe = fixture.start_probe(id("9"), 1, 0);
    fixture.reply(probe, vec![Value::Nil], 0);
    // The key is armed after 9, so no invalidation reports the entry 6.
    let mut late = fixture.read_after("5", 1);
    let probe = fixture.start_probe(id("5"), 1, 0);
    // A reader of an earlier id than the read in flight needs a read of its own.
    let mut later = fixture.read_after("3", 1);
    fixture.reply(probe, vec![entries(&["6-0"])], 0);
    assert_eq!(received_ids(&mut late), ["6-0"]);
    let probe = fixture.start_probe(id("3"), 1, 0);
    fixture.reply(probe, vec![entries(&["6-0"])], 0);
    assert_eq!(received_ids(&mut later), ["6-0"]);
    assert!(is_waiting(&mut far));
}

#[test]
fn a_reader_at_the_end_of_an_armed_stream_needs_no_read() {
    let mut fixture = TableFixture::new();
    let _first = fixture.read_after("5", 1);
    let probe = fixture.start_probe(id("5"), 1, 0);
    let _during = fixture.read_after("5", 1);
    fixture.reply(probe, vec![Value::Nil], 0);
    let _after = fixture.read_after("7", 1);
    assert!(fixture.table.next_probe().is_none());
}

#[test]
fn the_group_is_read_before_a_deadline_ends_a_consumers_wait() {
    let mut fixture = TableFixture::new();
    let mut first = fixture.read_group(None);
    let probe = fixture.start_probe(EntryId::MAX, 1, 1);
    let mut second = fixture.read_group(Some(fixture.at(1)));
    // Its deadline passes while the group is read for the consumer in front.
    fixture.table.expire(fixture.at(2), None);
    assert!(is_waiting(&mut second));
    fixture.reply(probe, vec![Value::Nil, entries(&["1-0"])], 3);
    assert_eq!(received_ids(&mut first), ["1-0"]);
    let probe = fixture.table.next_probe().expect("there may be more");
    assert_eq!((probe.read, probe.group_reads.len()), (None, 1));
    fixture.reply(probe, vec![entries(&["2-0"])], 4);
    assert_eq!(received_ids(&mut second), ["2-0"]);
}

#[test]
fn a_consumer_past_its_deadline_ends_empty_once_there_is_nothing() {
    let mut fixture = TableFixture::new();
    let mut probed = fixture.read_group(Some(fixture.at(1)));
    let mut behind = fixture.read_group(Some(fixture.at(1)));
    let probe = fixture.start_probe(EntryId::MAX, 1, 1);
    fixture.table.expire(fixture.at(2), None);
    assert!(is_waiting(&mut probed) && is_waiting(&mut behind));
    fixture.reply(probe, vec![Value::Nil, Value::Nil], 3);
    assert_eq!(received_ids(&mut probed), [""; 0]);
    assert_eq!(received_ids(&mut behind), [""; 0]);
    assert!(fixture.table.is_empty());
    assert_eq!(fixture.table.next_deadline(), None);
}

#[test]
fn after_a_lost_connection_only_the_consumer_in_the_probe_has_an_unknown_outcome() {
    let mut fixture = TableFixture::new();
    let mut probed = fixture.read_group(None);
    let mut behind = fixture.read_group(None);
    let mut reader = fixture.read_after("5", 1);
    let probe = fixture.start_probe(id("5"), 1, 1);
    let error = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    fixture
        .table
        .disconnected(fixture.at(0), &errors::disconnected());
    fixture.table.finish_probe(probe, Err(error), fixture.at(0));
    assert_eq!(
        probed.try_recv().unwrap().unwrap_err().code(),
        "UNKNOWN_OUTCOME"
    );
    assert!(is_waiting(&mut behind) && is_waiting(&mut reader));
    assert!(
        fixture.table.next_probe().is_none(),
        "the hub is disconnected"
    );
    fixture.table.all_changed();
    fixture.start_probe(id("5"), 1, 1);
}

#[test]
fn in_fallback_mode_entries_before_a_readers_id_are_reported_to_consumers() {
    let watched = |fixture: &mut TableFixture| fixture.table.take_fallback_requests().last();
    let watch = |end| Some(FallbackRequest::Watch("s".into(), id(end)));
    let mut fixture = TableFixture::new();
    fixture.table.use_fallback(true);
    let _reader = fixture.read_after("9-0", 1);
    let probe = fixture.start_probe(id("9-0"), 1, 0);
    fixture.reply(probe, vec![Value::Nil], 0);
    assert_eq!(watched(&mut fixture), watch("9-0"));
    let mut consumer = fixture.read_group(None);
    let probe = fixture.start_probe(id("9-0"), 1, 1);
    fixture.reply(probe, vec![last_entry("5-0"), Value::Nil, Value::Nil], 0);
    assert_eq!(watched(&mut fixture), watch("5-0"));
    fixture.table.invalidated("s", fixture.at(0));
    let probe = fixture.start_probe(id("9-0"), 1, 1);
    fixture.reply(
        probe,
        vec![last_entry("6-0"), Value::Nil, entries(&["6-0"])],
        0,
    );
    assert_eq!(received_ids(&mut consumer), ["6-0"]);
    // The same without a reader.
    let mut fixture = TableFixture::new();
    fixture.table.use_fallback(true);
    let _consumer = fixture.read_group(None);
    let probe = fixture.start_probe(EntryId::MAX, 1, 1);
    fixture.reply(probe, vec![last_entry("6-0"), Value::Nil, Value::Nil], 0);
    assert_eq!(watched(&mut fixture), watch("6-0"));
}

#[test]
fn nobody_is_served_before_the_first_attempt_has_ended() {
    let mut fixture = TableFixture::new();
    let key = GroupKey {
        stream: "s".into(),
        group: "g".into(),
    };
    let Admission::First(attempt) = fixture.wait_queues.join(key.clone()) else {
        panic!("the queue is empty")
    };
    let _second = fixture.read_group(None);
    let probe = fixture.start_probe(EntryId::MAX, 1, 0);
    fixture.reply(probe, vec![Value::Nil], 0);
    assert!(fixture.table.next_probe().is_none());
    drop(attempt);
    assert_eq!(fixture.ended_attempts.try_recv(), Ok(key.clone()));
    fixture.table.attempt_ended(&key);
    let probe = fixture
        .table
        .next_probe()
        .expect("the first attempt has ended");
    assert_eq!((probe.read, probe.group_reads.len()), (None, 1));
}

#[test]
fn no_probe_follows_the_delivery_of_the_last_entry() {
    let mut fixture = TableFixture::new();
    let (mut first, mut second) = (fixture.read_group(None), fixture.read_group(None));
    let probe = fixture.start_probe(EntryId::MAX, 1, 1);
    fixture.reply(probe, vec![Value::Nil, Value::Nil], 0);
    fixture.table.invalidated("s", fixture.at(1));
    let probe = fixture.start_probe(EntryId::MAX, 1, 1);
    fixture.reply(
        probe,
        vec![last_entry("7-0"), Value::Nil, entries(&["7-0"])],
        1,
    );
    assert_eq!(received_ids(&mut first), ["7-0"]);
    assert!(
        fixture.table.next_probe().is_none(),
        "there are no more entries"
    );
    fixture.table.invalidated("s", fixture.at(2));
    let probe = fixture.start_probe(EntryId::MAX, 1, 1);
    fixture.reply(
        probe,
        vec![last_entry("9-0"), Value::Nil, entries(&["8-0"])],
        2,
    );
    assert_eq!(received_ids(&mut second), ["8-0"]);
    let _third = fixture.read_group(None);
    let probe = fixture.table.next_probe().expect("one entry is left");
    assert_eq!(probe.group_reads.len(), 1);
}

#[test]
fn joining_a_drained_group_causes_no_probe() {
    let mut fixture = TableFixture::new();
    let mut first = fixture.read_group(None);
    let probe = fixture.start_probe(EntryId::MAX, 1, 1);
    fixture.reply(probe, vec![Value::Nil, Value::Nil], 0);
    let mut second = fixture.read_group(None);
    assert!(
        fixture.table.next_probe().is_none(),
        "Redis pushes the next change"
    );
    fixture.table.invalidated("s", fixture.at(0));
    let probe = fixture.start_probe(EntryId::MAX, 1, 1);
    let mut third = fixture.read_group(None);
    fixture.reply(probe, vec![Value::Nil, entries(&["1-0"])], 1);
    assert_eq!(received_ids(&mut first), ["1-0"]);
    let probe = fixture.table.next_probe().expect("there may be more");
    assert_eq!((probe.read, probe.group_reads.len()), (None, 1));
    fixture.reply(probe, vec![Value::Nil], 2);
    assert!(fixture.table.next_probe().is_none());
    let _fourth = fixture.read_group(None);
    assert!(fixture.table.next_probe().is_none());
    // Redis does not push everything that happens to a group.
    fixture.table.recheck();
    let probe = fixture
        .table
        .next_probe()
        .expect("a recheck reads the group");
    assert_eq!(probe.group_reads.len(), 1);
    assert!(is_waiting(&mut second) && is_waiting(&mut third));
}

#[test]
fn a_first_attempt_delays_the_group_until_the_second_recheck() {
    let mut fixture = TableFixture::new();
    let Admission::First(_attempt) = fixture.join() else {
        panic!("the queue is empty")
    };
    let mut second = fixture.read_group(None);
    let group_reads = |fixture: &mut TableFixture| {
        fixture.table.next_probe().map_or(0, |probe| {
            let group_reads = probe.group_reads.len();
            let read = usize::from(probe.read.is_some());
            fixture.reply(probe, vec![Value::Nil; read + group_reads], 0);
            group_reads
        })
    };
    assert_eq!(group_reads(&mut fixture), 0);
    // The attempt may have begun only a moment before.
    fixture.table.recheck();
    assert_eq!(group_reads(&mut fixture), 0);
    assert!(is_waiting(&mut second));
    fixture.table.recheck();
    assert_eq!(group_reads(&mut fixture), 1);
}

#[test]
fn a_cancel_in_a_drained_group_causes_no_probe() {
    let mut fixture = TableFixture::new();
    let _first = fixture.read_group(None);
    let cancel_last = |fixture: &mut TableFixture| {
        let number = fixture.wait_queues.next_number() - 1;
        fixture.table.handle(HubMessage::CancelWait(WaiterKey {
            stream: "s".into(),
            group: Some("g".into()),
            number,
        }));
    };
    let probe = fixture.start_probe(EntryId::MAX, 1, 1);
    let mut second = fixture.read_group(None);
    let _third = fixture.read_group(None);
    // The group is not known to be drained yet.
    cancel_last(&mut fixture);
    fixture.reply(probe, vec![Value::Nil, entries(&["1-0"])], 0);
    let probe = fixture.table.next_probe().expect("there may be more");
    fixture.reply(probe, vec![Value::Nil], 0);
    let _fourth = fixture.read_group(None);
    cancel_last(&mut fixture);
    assert!(fixture.table.next_probe().is_none(), "the group is drained");
    assert!(is_waiting(&mut second));
    fixture.table.invalidated("s", fixture.at(0));
    fixture.start_probe(EntryId::MAX, 1, 1);
}

#[test]
fn an_error_of_the_feeds_read_ends_the_tails_only() {
    let mut fixture = TableFixture::new();
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let queue = Arc::new(FeedQueue::new(Arc::new(permit)));
    let number = fixture.wait_queues.next_number();
    let cursor = TailCursor::new(id("5-0"), Some(5));
    let subscriber = FeedSubscriber::new(number, Arc::clone(&queue), cursor);
    fixture
        .table
        .handle(HubMessage::JoinFeed("s".into(), subscriber));
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
fn spurious_invalidations_throttle_a_stream_until_one_brings_an_entry() {
    let mut fixture = TableFixture::new();
    let _reader = fixture.read_after("5-0", 1);
    let probe = fixture.start_probe(id("5-0"), 1, 0);
    fixture.reply(probe, vec![entries(&[])], 0);
    let mut probes = 0;
    loop {
        fixture.table.invalidated("s", fixture.at(0));
        let Some(probe) = fixture.table.next_probe() else {
            break;
        };
        probes += 1;
        fixture.reply(probe, vec![entries(&[])], 0);
    }
    assert!((2..100).contains(&probes), "{probes}");
    let until = fixture.table.next_deadline().unwrap();
    assert!(until > fixture.at(0));
    fixture.table.end_throttles(fixture.at(0));
    assert!(fixture.table.next_probe().is_none());
    // A new reader is not throttled.
    let _other = fixture.read_after("6-0", 1);
    let probe = fixture.start_probe(id("5-0"), 1, 0);
    fixture.reply(probe, vec![entries(&[])], 0);
    fixture.table.end_throttles(until);
    let probe = fixture.start_probe(id("5-0"), 1, 0);
    fixture.reply(probe, vec![entries(&["6-0"])], 0);
    fixture.table.invalidated("s", until);
    assert!(fixture.table.next_probe().is_some());
}

#[test]
fn beyond_the_bound_on_queued_bytes_every_slow_tail_lags() {
    let mut fixture = TableFixture::new();
    let join_feed = |fixture: &mut TableFixture, stream: &str| {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let queue = Arc::new(FeedQueue::new(Arc::new(permit)));
        let number = fixture.wait_queues.next_number();
        let cursor = TailCursor::new(id("5-0"), Some(1));
        let subscriber = FeedSubscriber::new(number, Arc::clone(&queue), cursor);
        fixture
            .table
            .handle(HubMessage::JoinFeed(stream.into(), subscriber));
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
    let (small, probe) = join_feed(&mut fixture, "small");
    fixture.reply(probe, vec![rows(1)], 0);
    let (idle, probe) = join_feed(&mut fixture, "idle");
    let Value::Array(mut only_position) = rows(1) else {
        panic!("rows are an array")
    };
    only_position.truncate(1);
    fixture.reply(probe, vec![Value::Array(only_position)], 0);
    let (large, probe) = join_feed(&mut fixture, "large");
    fixture.reply(probe, vec![rows(MAX_TOTAL_QUEUED_BYTES)], 0);
    for queue in [small, large] {
        assert!(matches!(next(&queue), Some(FeedEvent::Lagged)));
    }
    assert!(next(&idle).is_none());
    assert_eq!(fixture.table.queued_bytes.get(), 0);
}
