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
use crate::hub::feed::Member;
use crate::hub::feed::queue::{News, Queue};
use crate::hub::group::cancel_guard::presence;
use crate::hub::group::wait_queue::{GroupKey, Turn};
use crate::hub::message::{Consumer, Found, Waiter};
use crate::hub::probe::Read;
use crate::tail::cursor::Standing;
use streamgate_backend::entry_id::EntryId;

type Answer = oneshot::Receiver<CacheResult<Found>>;

struct Test {
    table: Table,
    lines: Arc<Lines>,
    hub: UnboundedSender<Message>,
    _told: UnboundedReceiver<Message>,
    start: Instant,
}

impl Test {
    fn new() -> Self {
        let lines = Arc::new(Lines::default());
        let (hub, told) = unbounded_channel();
        let table = Table::new(Arc::clone(&lines));
        Self {
            table,
            lines,
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
        let (number, after) = (self.lines.next_number(), EntryId::parse(after).unwrap());
        let reader = Reader {
            number,
            waiter,
            after,
            count,
        };
        self.table.handle(Message::Read("s".into(), reader));
        answer
    }

    fn join(&self) -> Turn {
        let key = GroupKey {
            stream: "s".into(),
            group: "g".into(),
        };
        self.lines.join(key, &self.hub)
    }

    fn consume(&mut self, deadline: Option<Instant>) -> Answer {
        let place = match self.join() {
            Turn::Try(attempt) => attempt.wait(),
            Turn::Queue(place) => place,
        };
        let (waiter, answer) = Self::waiter(deadline);
        let (presence, _) = presence(&Barrier::default());
        let consumer = Consumer {
            waiter,
            place,
            presence,
            name: "c".into(),
            count: 1,
        };
        self.table.handle(Message::ReadGroup(consumer));
        answer
    }

    fn visit(&mut self, after: EntryId, count: u64, tries: usize) -> Visit {
        let visit = self.table.next_visit().expect("a visit is due");
        assert_eq!(visit.read, Some(Read { after, count }));
        assert_eq!(visit.tries.len(), tries);
        visit
    }

    /// Values of all that is asked; where the last entry is not among them, it is one that comes
    /// behind all that is given.
    fn answer(&mut self, visit: Visit, mut values: Vec<Value>, ms: u64) {
        if visit.find_end && values.len() == visit.tries.len() + 1 {
            values.insert(0, last(&EntryId::MAX.to_string()));
        }
        self.table.finish(visit, Ok(values), self.at(ms));
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
    let mut test = Test::new();
    let mut reader = test.read("5", 1);
    let visit = test.visit(id("5"), 1, 0);
    test.table.changed("s", test.start);
    assert!(
        test.table.next_visit().is_none(),
        "one round trip at a time"
    );
    test.answer(visit, vec![Value::Nil], 0);
    let visit = test.visit(id("5"), 1, 0);
    test.answer(visit, vec![found(&["6-0"])], 0);
    assert_eq!(ids(&mut reader), ["6-0"]);
    assert!(test.table.is_empty());
}

#[test]
fn a_reader_that_comes_late_gets_what_a_read_found_before_it_came() {
    let mut test = Test::new();
    let mut first = test.read("5", 1);
    let mut far = test.read("9", 1);
    let visit = test.visit(id("5"), 1, 0);
    test.answer(visit, vec![found(&["6-0"])], 0);
    assert_eq!(ids(&mut first), ["6-0"]);
    // The answer was full: there may be more.
    let visit = test.visit(id("9"), 1, 0);
    test.answer(visit, vec![Value::Nil], 0);
    // Armed, and nothing after 9; but 6 is there, and no push will tell.
    let mut late = test.read("5", 1);
    let visit = test.visit(id("5"), 1, 0);
    // One from before the id that is being read from waits for a read of its own.
    let mut later = test.read("3", 1);
    test.answer(visit, vec![found(&["6-0"])], 0);
    assert_eq!(ids(&mut late), ["6-0"]);
    let visit = test.visit(id("3"), 1, 0);
    test.answer(visit, vec![found(&["6-0"])], 0);
    assert_eq!(ids(&mut later), ["6-0"]);
    assert!(waits(&mut far));
}

#[test]
fn a_reader_at_the_end_of_an_armed_stream_needs_no_read() {
    let mut test = Test::new();
    let _first = test.read("5", 1);
    let visit = test.visit(id("5"), 1, 0);
    let _during = test.read("5", 1);
    test.answer(visit, vec![Value::Nil], 0);
    let _after = test.read("7", 1);
    assert!(test.table.next_visit().is_none());
}

#[test]
fn a_consumer_is_tried_for_before_its_deadline_ends_the_wait() {
    let mut test = Test::new();
    let mut first = test.consume(None);
    let visit = test.visit(EntryId::MAX, 1, 1);
    let mut second = test.consume(Some(test.at(1)));
    // Its deadline passes while the one in front is being tried for.
    test.table.expire(test.at(2), None);
    assert!(waits(&mut second));
    test.answer(visit, vec![Value::Nil, found(&["1-0"])], 3);
    assert_eq!(ids(&mut first), ["1-0"]);
    let visit = test.table.next_visit().expect("there may be more");
    assert_eq!((visit.read, visit.tries.len()), (None, 1));
    test.answer(visit, vec![found(&["2-0"])], 4);
    assert_eq!(ids(&mut second), ["2-0"]);
}

#[test]
fn a_consumer_past_its_deadline_ends_empty_once_there_is_nothing() {
    let mut test = Test::new();
    let mut tried = test.consume(Some(test.at(1)));
    let mut behind = test.consume(Some(test.at(1)));
    let visit = test.visit(EntryId::MAX, 1, 1);
    test.table.expire(test.at(2), None);
    assert!(waits(&mut tried) && waits(&mut behind));
    test.answer(visit, vec![Value::Nil, Value::Nil], 3);
    assert_eq!(ids(&mut tried), [""; 0]);
    assert_eq!(ids(&mut behind), [""; 0]);
    assert!(test.table.is_empty());
    assert_eq!(test.table.next_deadline(), None);
}

#[test]
fn only_the_consumer_being_tried_for_does_not_know_after_a_loss() {
    let mut test = Test::new();
    let mut tried = test.consume(None);
    let mut behind = test.consume(None);
    let mut reader = test.read("5", 1);
    let visit = test.visit(id("5"), 1, 1);
    let error = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    test.table.disconnected(test.at(0), &errors::disconnected());
    test.table.finish(visit, Err(error), test.at(0));
    assert_eq!(
        tried.try_recv().unwrap().unwrap_err().code(),
        "UNKNOWN_OUTCOME"
    );
    assert!(waits(&mut behind) && waits(&mut reader));
    assert!(test.table.next_visit().is_none(), "nothing can be asked");
    test.table.all_changed();
    test.visit(id("5"), 1, 1);
}

#[test]
fn where_it_is_armed_by_hand_consumers_are_told_of_what_comes_before_a_readers_id() {
    let armed = |test: &mut Test| test.table.take_armings().last();
    let arm = |end| Some(Arming::Arm("s".into(), id(end)));
    let mut test = Test::new();
    test.table.arm_by_hand(true);
    let _reader = test.read("9-0", 1);
    let visit = test.visit(id("9-0"), 1, 0);
    test.answer(visit, vec![Value::Nil], 0);
    assert_eq!(armed(&mut test), arm("9-0"));
    let mut consumer = test.consume(None);
    let visit = test.visit(id("9-0"), 1, 1);
    test.answer(visit, vec![last("5-0"), Value::Nil, Value::Nil], 0);
    assert_eq!(armed(&mut test), arm("5-0"));
    test.table.changed("s", test.at(0));
    let visit = test.visit(id("9-0"), 1, 1);
    test.answer(visit, vec![last("6-0"), Value::Nil, found(&["6-0"])], 0);
    assert_eq!(ids(&mut consumer), ["6-0"]);
    // Without a reader, too.
    let mut test = Test::new();
    test.table.arm_by_hand(true);
    let _consumer = test.consume(None);
    let visit = test.visit(EntryId::MAX, 1, 1);
    test.answer(visit, vec![last("6-0"), Value::Nil, Value::Nil], 0);
    assert_eq!(armed(&mut test), arm("6-0"));
}

#[test]
fn nobody_is_served_before_the_one_who_came_first_has_tried() {
    let mut test = Test::new();
    let key = GroupKey {
        stream: "s".into(),
        group: "g".into(),
    };
    let Turn::Try(attempt) = test.lines.join(key.clone(), &test.hub) else {
        panic!("it is first")
    };
    let _second = test.consume(None);
    let visit = test.visit(EntryId::MAX, 1, 0);
    test.answer(visit, vec![Value::Nil], 0);
    assert!(test.table.next_visit().is_none());
    drop(attempt);
    test.table.handle(Message::NextInLine(key));
    let visit = test.table.next_visit().expect("it is the next one's turn");
    assert_eq!((visit.read, visit.tries.len()), (None, 1));
}

#[test]
fn whoever_is_given_the_last_entry_is_not_followed_by_another_look() {
    let mut test = Test::new();
    let (mut first, mut second) = (test.consume(None), test.consume(None));
    let visit = test.visit(EntryId::MAX, 1, 1);
    test.answer(visit, vec![Value::Nil, Value::Nil], 0);
    test.table.changed("s", test.at(1));
    let visit = test.visit(EntryId::MAX, 1, 1);
    test.answer(visit, vec![last("7-0"), Value::Nil, found(&["7-0"])], 1);
    assert_eq!(ids(&mut first), ["7-0"]);
    assert!(test.table.next_visit().is_none(), "there is no more");
    test.table.changed("s", test.at(2));
    let visit = test.visit(EntryId::MAX, 1, 1);
    test.answer(visit, vec![last("9-0"), Value::Nil, found(&["8-0"])], 2);
    assert_eq!(ids(&mut second), ["8-0"]);
    let _third = test.consume(None);
    let visit = test.table.next_visit().expect("one is left");
    assert_eq!(visit.tries.len(), 1);
}

#[test]
fn who_joins_a_group_that_was_found_empty_is_not_tried_for() {
    let mut test = Test::new();
    let mut first = test.consume(None);
    let visit = test.visit(EntryId::MAX, 1, 1);
    test.answer(visit, vec![Value::Nil, Value::Nil], 0);
    let mut second = test.consume(None);
    assert!(test.table.next_visit().is_none(), "the next change is told");
    test.table.changed("s", test.at(0));
    let visit = test.visit(EntryId::MAX, 1, 1);
    let mut third = test.consume(None);
    test.answer(visit, vec![Value::Nil, found(&["1-0"])], 1);
    assert_eq!(ids(&mut first), ["1-0"]);
    let visit = test.table.next_visit().expect("there may be more");
    assert_eq!((visit.read, visit.tries.len()), (None, 1));
    test.answer(visit, vec![Value::Nil], 2);
    assert!(test.table.next_visit().is_none());
    let _fourth = test.consume(None);
    assert!(test.table.next_visit().is_none());
    // Not all that happens to a group is told.
    test.table.recheck();
    let visit = test.table.next_visit().expect("groups are looked at again");
    assert_eq!(visit.tries.len(), 1);
    assert!(waits(&mut second) && waits(&mut third));
}

#[test]
fn nobody_is_served_before_one_that_tries_unless_that_lasts() {
    let mut test = Test::new();
    let Turn::Try(_attempt) = test.join() else {
        panic!("the line is empty")
    };
    let mut second = test.consume(None);
    let tries = |test: &mut Test| {
        test.table.next_visit().map_or(0, |visit| {
            let tries = visit.tries.len();
            let read = usize::from(visit.read.is_some());
            test.answer(visit, vec![Value::Nil; read + tries], 0);
            tries
        })
    };
    assert_eq!(tries(&mut test), 0);
    // A moment after it began to try, perhaps.
    test.table.recheck();
    assert_eq!(tries(&mut test), 0);
    assert!(waits(&mut second));
    test.table.recheck();
    assert_eq!(tries(&mut test), 1);
}

#[test]
fn who_leaves_a_group_that_was_found_empty_causes_no_look() {
    let mut test = Test::new();
    let _first = test.consume(None);
    let leave = |test: &mut Test| {
        let number = test.lines.next_number() - 1;
        test.table.handle(Message::Leave(Address {
            stream: "s".into(),
            group: Some("g".into()),
            number,
        }));
    };
    let visit = test.visit(EntryId::MAX, 1, 1);
    let mut second = test.consume(None);
    let _third = test.consume(None);
    // Nobody knows yet what is there.
    leave(&mut test);
    test.answer(visit, vec![Value::Nil, found(&["1-0"])], 0);
    let visit = test.table.next_visit().expect("there may be more");
    test.answer(visit, vec![Value::Nil], 0);
    let _fourth = test.consume(None);
    leave(&mut test);
    assert!(test.table.next_visit().is_none(), "there is nothing");
    assert!(waits(&mut second));
    test.table.changed("s", test.at(0));
    test.visit(EntryId::MAX, 1, 1);
}

#[test]
fn an_error_of_the_followers_read_ends_nobody_else() {
    let mut test = Test::new();
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let queue = Arc::new(Queue::new(Arc::new(permit)));
    let number = test.lines.next_number();
    let standing = Standing::new(id("5-0"), Some(5));
    let member = Member::new(number, Arc::clone(&queue), standing);
    test.table.handle(Message::Follow("s".into(), member));
    let mut reader = test.read("5-0", 1);
    let mut consumer = test.consume(None);
    let visit = test.visit(id("5-0"), 1, 1);
    // Not what a read answers.
    test.answer(visit, vec![Value::Nil, Value::Okay, Value::Nil], 0);
    let _joined = poll_fn(|cx| queue.poll(cx)).now_or_never();
    let ended = poll_fn(|cx| queue.poll(cx)).now_or_never();
    assert!(matches!(ended, Some(News::Ended(_))));
    assert!(waits(&mut reader) && waits(&mut consumer));
    test.visit(id("5-0"), 1, 0);
}

#[test]
fn pushes_that_bring_nothing_make_the_next_look_wait_and_one_that_brings_something_ends_that() {
    let mut test = Test::new();
    let _reader = test.read("5-0", 1);
    let visit = test.visit(id("5-0"), 1, 0);
    test.answer(visit, vec![found(&[])], 0);
    let mut looks = 0;
    loop {
        test.table.changed("s", test.at(0));
        let Some(visit) = test.table.next_visit() else {
            break;
        };
        looks += 1;
        test.answer(visit, vec![found(&[])], 0);
    }
    assert!((2..100).contains(&looks), "{looks}");
    let until = test.table.next_deadline().unwrap();
    assert!(until > test.at(0));
    test.table.rested(test.at(0));
    assert!(test.table.next_visit().is_none());
    // Whoever comes meanwhile is not kept waiting.
    let _other = test.read("6-0", 1);
    let visit = test.visit(id("5-0"), 1, 0);
    test.answer(visit, vec![found(&[])], 0);
    test.table.rested(until);
    let visit = test.visit(id("5-0"), 1, 0);
    test.answer(visit, vec![found(&["6-0"])], 0);
    test.table.changed("s", until);
    assert!(test.table.next_visit().is_some());
}

#[test]
fn beyond_the_bound_on_live_segments_all_who_wait_fall_behind() {
    let mut test = Test::new();
    let follow = |test: &mut Test, stream: &str| {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let queue = Arc::new(Queue::new(Arc::new(permit)));
        let number = test.lines.next_number();
        let standing = Standing::new(id("5-0"), Some(1));
        let member = Member::new(number, Arc::clone(&queue), standing);
        test.table.handle(Message::Follow(stream.into(), member));
        let visit = test.table.next_visit().unwrap();
        assert_eq!(visit.read, None, "the feed's read arms");
        (queue, visit)
    };
    let rows = |bytes: usize| {
        let bulk = |bytes: Vec<u8>| Value::BulkString(bytes);
        let row = |id: &str, bytes| {
            let fields = vec![bulk(b"f".to_vec()), bulk(vec![b'v'; bytes])];
            Value::Array(vec![bulk(id.into()), Value::Array(fields)])
        };
        Value::Array(vec![row("5-0", 1), row("6-0", bytes)])
    };
    let next = |queue: &Queue| {
        let _joined = poll_fn(|cx| queue.poll(cx)).now_or_never();
        poll_fn(|cx| queue.poll(cx)).now_or_never()
    };
    let (small, visit) = follow(&mut test, "small");
    test.answer(visit, vec![rows(1)], 0);
    let (idle, visit) = follow(&mut test, "idle");
    let Value::Array(mut nothing_new) = rows(1) else {
        panic!("they are rows")
    };
    nothing_new.truncate(1);
    test.answer(visit, vec![Value::Array(nothing_new)], 0);
    let (large, visit) = follow(&mut test, "large");
    test.answer(visit, vec![rows(MAX_LIVE_BYTES)], 0);
    for queue in [small, large] {
        assert!(matches!(next(&queue), Some(News::Lagged)));
    }
    assert!(next(&idle).is_none());
    assert_eq!(test.table.live.get(), 0);
}
