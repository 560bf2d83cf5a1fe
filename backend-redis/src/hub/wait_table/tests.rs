//! The order of events that a real Redis brings about only now and then.

use std::future::poll_fn;
use std::time::Duration;

use futures_util::FutureExt;
use redis::Value;
use streamgate_protocol::CacheResult;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};

use super::*;
use crate::connection::barrier::Barrier;
use crate::hub::feed::FeedSubscriber;
use crate::hub::feed::feed_queue::{FeedEvent, FeedQueue};
use crate::hub::group::cancel_guard::guard_pair;
use crate::hub::group::wait_queue::{Admission, GroupKey};
use crate::hub::message::{GroupReadWaiter, SharedEntries, Waiter};
use crate::hub::probe::ArmingRead;
use crate::tail::cursor::TailCursor;
use streamgate_protocol::EntryId;

type Answer = oneshot::Receiver<CacheResult<SharedEntries>>;

struct Fixture {
    table: WaitTable,
    wait_queues: Arc<WaitQueues>,
    hub: UnboundedSender<HubMessage>,
    _told: UnboundedReceiver<HubMessage>,
    start: Instant,
}

impl Fixture {
    fn new() -> Self {
        let wait_queues = Arc::new(WaitQueues::default());
        let (hub, told) = unbounded_channel();
        let table = WaitTable::new(Arc::clone(&wait_queues));
        Self {
            table,
            wait_queues,
            hub,
            _told: told,
            start: Instant::now(),
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn waiter(deadline: Option<Instant>) -> (Waiter, Answer) {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let (answer, receiver) = oneshot::channel();
        (
            Waiter {
                deadline,
                answer,
                _permit: permit,
            },
            receiver,
        )
    }

    fn read(&mut self, after: &str, count: u64) -> Answer {
        let (waiter, answer) = Self::waiter(None);
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
        answer
    }

    fn join(&self) -> Admission {
        let key = GroupKey {
            stream: "s".into(),
            group: "g".into(),
        };
        self.wait_queues.join(key, &self.hub)
    }

    fn consume(&mut self, deadline: Option<Instant>) -> Answer {
        let slot = match self.join() {
            Admission::First(attempt) => attempt.wait(),
            Admission::Queued(slot) => slot,
        };
        let (waiter, answer) = Self::waiter(deadline);
        let (delivery, _) = guard_pair(&Barrier::default());
        let consumer = GroupReadWaiter {
            waiter,
            slot,
            delivery,
            name: "c".into(),
            count: 1,
        };
        self.table.handle(HubMessage::ReadGroup(consumer));
        answer
    }

    fn probe(&mut self, after: EntryId, count: u64, group_reads: usize) -> Probe {
        let probe = self.table.next_probe().expect("a probe is due");
        assert_eq!(probe.read, Some(ArmingRead { after, count }));
        assert_eq!(probe.group_reads.len(), group_reads);
        probe
    }

    /// Values of all that is asked; where the last entry is not among them, it is one that comes
    /// behind all that is given.
    fn answer(&mut self, probe: Probe, mut values: Vec<Value>, ms: u64) {
        if probe.find_end && values.len() == probe.group_reads.len() + 1 {
            values.insert(0, last(&EntryId::MAX.to_string()));
        }
        self.table.finish(probe, Ok(values), self.at(ms));
    }
}

fn id(text: &str) -> EntryId {
    EntryId::parse(text).unwrap()
}

fn found(ids: &[&str]) -> Value {
    let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
    let entry = |id: &&str| Value::Array(vec![bulk(id), Value::Array(vec![bulk("f"), bulk("v")])]);
    Value::Map(vec![(
        bulk("s"),
        Value::Array(ids.iter().map(entry).collect()),
    )])
}

/// The answer to the question for the last entry.
fn last(id: &str) -> Value {
    match found(&[id]) {
        Value::Map(mut streams) => streams.remove(0).1,
        other => panic!("no streams: {other:?}"),
    }
}

fn ids(answer: &mut Answer) -> Vec<String> {
    let found = answer.try_recv().expect("an answer").expect("no error");
    found.into_entries().into_iter().map(|(id, _)| id).collect()
}

fn waits(answer: &mut Answer) -> bool {
    matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Empty))
}

#[test]
fn a_push_that_overtakes_the_answer_of_a_read_is_read_again() {
    let mut test = Fixture::new();
    let mut reader = test.read("5", 1);
    let probe = test.probe(id("5"), 1, 0);
    test.table.changed("s", test.start);
    assert!(
        test.table.next_probe().is_none(),
        "one round trip at a time"
    );
    test.answer(probe, vec![Value::Nil], 0);
    let probe = test.probe(id("5"), 1, 0);
    test.answer(probe, vec![found(&["6-0"])], 0);
    assert_eq!(ids(&mut reader), ["6-0"]);
    assert!(test.table.is_empty());
}

#[test]
fn a_reader_that_comes_late_gets_what_a_read_found_before_it_came() {
    let mut test = Fixture::new();
    let mut first = test.read("5", 1);
    let mut far = test.read("9", 1);
    let probe = test.probe(id("5"), 1, 0);
    test.answer(probe, vec![found(&["6-0"])], 0);
    assert_eq!(ids(&mut first), ["6-0"]);
    // The answer was full: there may be more.
    let probe = test.probe(id("9"), 1, 0);
    test.answer(probe, vec![Value::Nil], 0);
    // Armed, and nothing after 9; but 6 is there, and no push will tell.
    let mut late = test.read("5", 1);
    let probe = test.probe(id("5"), 1, 0);
    // One from before the id that is being read from waits for a read of its own.
    let mut later = test.read("3", 1);
    test.answer(probe, vec![found(&["6-0"])], 0);
    assert_eq!(ids(&mut late), ["6-0"]);
    let probe = test.probe(id("3"), 1, 0);
    test.answer(probe, vec![found(&["6-0"])], 0);
    assert_eq!(ids(&mut later), ["6-0"]);
    assert!(waits(&mut far));
}

#[test]
fn a_reader_at_the_end_of_an_armed_stream_needs_no_read() {
    let mut test = Fixture::new();
    let _first = test.read("5", 1);
    let probe = test.probe(id("5"), 1, 0);
    let _during = test.read("5", 1);
    test.answer(probe, vec![Value::Nil], 0);
    let _after = test.read("7", 1);
    assert!(test.table.next_probe().is_none());
}

#[test]
fn a_consumer_is_tried_for_before_its_deadline_ends_the_wait() {
    let mut test = Fixture::new();
    let mut first = test.consume(None);
    let probe = test.probe(EntryId::MAX, 1, 1);
    let mut second = test.consume(Some(test.at(1)));
    // Its deadline passes while the one in front is being tried for.
    test.table.expire(test.at(2), None);
    assert!(waits(&mut second));
    test.answer(probe, vec![Value::Nil, found(&["1-0"])], 3);
    assert_eq!(ids(&mut first), ["1-0"]);
    let probe = test.table.next_probe().expect("there may be more");
    assert_eq!((probe.read, probe.group_reads.len()), (None, 1));
    test.answer(probe, vec![found(&["2-0"])], 4);
    assert_eq!(ids(&mut second), ["2-0"]);
}

#[test]
fn a_consumer_past_its_deadline_ends_empty_once_there_is_nothing() {
    let mut test = Fixture::new();
    let mut tried = test.consume(Some(test.at(1)));
    let mut behind = test.consume(Some(test.at(1)));
    let probe = test.probe(EntryId::MAX, 1, 1);
    test.table.expire(test.at(2), None);
    assert!(waits(&mut tried) && waits(&mut behind));
    test.answer(probe, vec![Value::Nil, Value::Nil], 3);
    assert_eq!(ids(&mut tried), [""; 0]);
    assert_eq!(ids(&mut behind), [""; 0]);
    assert!(test.table.is_empty());
    assert_eq!(test.table.next_deadline(), None);
}

#[test]
fn only_the_consumer_being_tried_for_does_not_know_after_a_loss() {
    let mut test = Fixture::new();
    let mut tried = test.consume(None);
    let mut behind = test.consume(None);
    let mut reader = test.read("5", 1);
    let probe = test.probe(id("5"), 1, 1);
    let error = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    test.table.disconnected(test.at(0), &errors::disconnected());
    test.table.finish(probe, Err(error), test.at(0));
    assert_eq!(
        tried.try_recv().unwrap().unwrap_err().code(),
        "UNKNOWN_OUTCOME"
    );
    assert!(waits(&mut behind) && waits(&mut reader));
    assert!(test.table.next_probe().is_none(), "nothing can be asked");
    test.table.all_changed();
    test.probe(id("5"), 1, 1);
}

#[test]
fn where_it_is_armed_by_hand_consumers_are_told_of_what_comes_before_a_readers_id() {
    let armed = |test: &mut Fixture| test.table.take_fallback_requests().last();
    let arm = |end| Some(FallbackRequest::Watch("s".into(), id(end)));
    let mut test = Fixture::new();
    test.table.use_fallback(true);
    let _reader = test.read("9-0", 1);
    let probe = test.probe(id("9-0"), 1, 0);
    test.answer(probe, vec![Value::Nil], 0);
    assert_eq!(armed(&mut test), arm("9-0"));
    let mut consumer = test.consume(None);
    let probe = test.probe(id("9-0"), 1, 1);
    test.answer(probe, vec![last("5-0"), Value::Nil, Value::Nil], 0);
    assert_eq!(armed(&mut test), arm("5-0"));
    test.table.changed("s", test.at(0));
    let probe = test.probe(id("9-0"), 1, 1);
    test.answer(probe, vec![last("6-0"), Value::Nil, found(&["6-0"])], 0);
    assert_eq!(ids(&mut consumer), ["6-0"]);
    // Without a reader, too.
    let mut test = Fixture::new();
    test.table.use_fallback(true);
    let _consumer = test.consume(None);
    let probe = test.probe(EntryId::MAX, 1, 1);
    test.answer(probe, vec![last("6-0"), Value::Nil, Value::Nil], 0);
    assert_eq!(armed(&mut test), arm("6-0"));
}

#[test]
fn nobody_is_served_before_the_one_who_came_first_has_tried() {
    let mut test = Fixture::new();
    let key = GroupKey {
        stream: "s".into(),
        group: "g".into(),
    };
    let Admission::First(attempt) = test.wait_queues.join(key.clone(), &test.hub) else {
        panic!("it is first")
    };
    let _second = test.consume(None);
    let probe = test.probe(EntryId::MAX, 1, 0);
    test.answer(probe, vec![Value::Nil], 0);
    assert!(test.table.next_probe().is_none());
    drop(attempt);
    test.table.handle(HubMessage::NextInLine(key));
    let probe = test.table.next_probe().expect("it is the next one's turn");
    assert_eq!((probe.read, probe.group_reads.len()), (None, 1));
}

#[test]
fn whoever_is_given_the_last_entry_is_not_followed_by_another_look() {
    let mut test = Fixture::new();
    let (mut first, mut second) = (test.consume(None), test.consume(None));
    let probe = test.probe(EntryId::MAX, 1, 1);
    test.answer(probe, vec![Value::Nil, Value::Nil], 0);
    test.table.changed("s", test.at(1));
    let probe = test.probe(EntryId::MAX, 1, 1);
    test.answer(probe, vec![last("7-0"), Value::Nil, found(&["7-0"])], 1);
    assert_eq!(ids(&mut first), ["7-0"]);
    assert!(test.table.next_probe().is_none(), "there is no more");
    test.table.changed("s", test.at(2));
    let probe = test.probe(EntryId::MAX, 1, 1);
    test.answer(probe, vec![last("9-0"), Value::Nil, found(&["8-0"])], 2);
    assert_eq!(ids(&mut second), ["8-0"]);
    let _third = test.consume(None);
    let probe = test.table.next_probe().expect("one is left");
    assert_eq!(probe.group_reads.len(), 1);
}

#[test]
fn who_joins_a_group_that_was_found_empty_is_not_tried_for() {
    let mut test = Fixture::new();
    let mut first = test.consume(None);
    let probe = test.probe(EntryId::MAX, 1, 1);
    test.answer(probe, vec![Value::Nil, Value::Nil], 0);
    let mut second = test.consume(None);
    assert!(test.table.next_probe().is_none(), "the next change is told");
    test.table.changed("s", test.at(0));
    let probe = test.probe(EntryId::MAX, 1, 1);
    let mut third = test.consume(None);
    test.answer(probe, vec![Value::Nil, found(&["1-0"])], 1);
    assert_eq!(ids(&mut first), ["1-0"]);
    let probe = test.table.next_probe().expect("there may be more");
    assert_eq!((probe.read, probe.group_reads.len()), (None, 1));
    test.answer(probe, vec![Value::Nil], 2);
    assert!(test.table.next_probe().is_none());
    let _fourth = test.consume(None);
    assert!(test.table.next_probe().is_none());
    // Not all that happens to a group is told.
    test.table.recheck();
    let probe = test.table.next_probe().expect("groups are looked at again");
    assert_eq!(probe.group_reads.len(), 1);
    assert!(waits(&mut second) && waits(&mut third));
}

#[test]
fn nobody_is_served_before_one_that_tries_unless_that_lasts() {
    let mut test = Fixture::new();
    let Admission::First(_attempt) = test.join() else {
        panic!("the line is empty")
    };
    let mut second = test.consume(None);
    let group_reads = |test: &mut Fixture| {
        test.table.next_probe().map_or(0, |probe| {
            let group_reads = probe.group_reads.len();
            let read = usize::from(probe.read.is_some());
            test.answer(probe, vec![Value::Nil; read + group_reads], 0);
            group_reads
        })
    };
    assert_eq!(group_reads(&mut test), 0);
    // A moment after it began to try, perhaps.
    test.table.recheck();
    assert_eq!(group_reads(&mut test), 0);
    assert!(waits(&mut second));
    test.table.recheck();
    assert_eq!(group_reads(&mut test), 1);
}

#[test]
fn who_leaves_a_group_that_was_found_empty_causes_no_look() {
    let mut test = Fixture::new();
    let _first = test.consume(None);
    let leave = |test: &mut Fixture| {
        let number = test.wait_queues.next_number() - 1;
        test.table.handle(HubMessage::CancelWait(WaiterKey {
            stream: "s".into(),
            group: Some("g".into()),
            number,
        }));
    };
    let probe = test.probe(EntryId::MAX, 1, 1);
    let mut second = test.consume(None);
    let _third = test.consume(None);
    // Nobody knows yet what is there.
    leave(&mut test);
    test.answer(probe, vec![Value::Nil, found(&["1-0"])], 0);
    let probe = test.table.next_probe().expect("there may be more");
    test.answer(probe, vec![Value::Nil], 0);
    let _fourth = test.consume(None);
    leave(&mut test);
    assert!(test.table.next_probe().is_none(), "there is nothing");
    assert!(waits(&mut second));
    test.table.changed("s", test.at(0));
    test.probe(EntryId::MAX, 1, 1);
}

#[test]
fn an_error_of_the_followers_read_ends_nobody_else() {
    let mut test = Fixture::new();
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let queue = Arc::new(FeedQueue::new(Arc::new(permit)));
    let number = test.wait_queues.next_number();
    let cursor = TailCursor::new(id("5-0"), Some(5));
    let subscriber = FeedSubscriber::new(number, Arc::clone(&queue), cursor);
    test.table
        .handle(HubMessage::JoinFeed("s".into(), subscriber));
    let mut reader = test.read("5-0", 1);
    let mut consumer = test.consume(None);
    let probe = test.probe(id("5-0"), 1, 1);
    // Not what a read answers.
    test.answer(probe, vec![Value::Nil, Value::Okay, Value::Nil], 0);
    let _joined = poll_fn(|cx| queue.poll(cx)).now_or_never();
    let ended = poll_fn(|cx| queue.poll(cx)).now_or_never();
    assert!(matches!(ended, Some(FeedEvent::Ended(_))));
    assert!(waits(&mut reader) && waits(&mut consumer));
    test.probe(id("5-0"), 1, 0);
}

#[test]
fn pushes_that_bring_nothing_make_the_next_look_wait_and_one_that_brings_something_ends_that() {
    let mut test = Fixture::new();
    let _reader = test.read("5-0", 1);
    let probe = test.probe(id("5-0"), 1, 0);
    test.answer(probe, vec![found(&[])], 0);
    let mut looks = 0;
    loop {
        test.table.changed("s", test.at(0));
        let Some(probe) = test.table.next_probe() else {
            break;
        };
        looks += 1;
        test.answer(probe, vec![found(&[])], 0);
    }
    assert!((2..100).contains(&looks), "{looks}");
    let until = test.table.next_deadline().unwrap();
    assert!(until > test.at(0));
    test.table.rested(test.at(0));
    assert!(test.table.next_probe().is_none());
    // Whoever comes meanwhile is not kept waiting.
    let _other = test.read("6-0", 1);
    let probe = test.probe(id("5-0"), 1, 0);
    test.answer(probe, vec![found(&[])], 0);
    test.table.rested(until);
    let probe = test.probe(id("5-0"), 1, 0);
    test.answer(probe, vec![found(&["6-0"])], 0);
    test.table.changed("s", until);
    assert!(test.table.next_probe().is_some());
}

#[test]
fn beyond_the_bound_on_live_segments_all_who_wait_fall_behind() {
    let mut test = Fixture::new();
    let follow = |test: &mut Fixture, stream: &str| {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let queue = Arc::new(FeedQueue::new(Arc::new(permit)));
        let number = test.wait_queues.next_number();
        let cursor = TailCursor::new(id("5-0"), Some(1));
        let subscriber = FeedSubscriber::new(number, Arc::clone(&queue), cursor);
        test.table
            .handle(HubMessage::JoinFeed(stream.into(), subscriber));
        let probe = test.table.next_probe().unwrap();
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
    let (small, probe) = follow(&mut test, "small");
    test.answer(probe, vec![rows(1)], 0);
    let (idle, probe) = follow(&mut test, "idle");
    let Value::Array(mut nothing_new) = rows(1) else {
        panic!("they are rows")
    };
    nothing_new.truncate(1);
    test.answer(probe, vec![Value::Array(nothing_new)], 0);
    let (large, probe) = follow(&mut test, "large");
    test.answer(probe, vec![rows(MAX_TOTAL_QUEUED_BYTES)], 0);
    for queue in [small, large] {
        assert!(matches!(next(&queue), Some(FeedEvent::Lagged)));
    }
    assert!(next(&idle).is_none());
    assert_eq!(test.table.live.get(), 0);
}
