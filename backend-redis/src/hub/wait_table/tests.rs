//! Orders of events that a real Redis brings about only rarely.

mod groups;
mod tails;

use std::time::Duration;

use redis::{RedisError, Value};
use streamgate_backend::Cancellation;
use streamgate_protocol::{CacheResult, EntryId};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Semaphore, oneshot};

use super::*;
use crate::hub::group::admission::{Admission, GroupKey};
use crate::hub::probe::ArmingRead;
use crate::hub::shared_entries::SharedEntries;
use crate::hub::waiter::Waiter;
use crate::operation::entry_sizes::EntrySizes;
use crate::wire::errors;
use crate::wire::packing::PackedCommands;

type Reply = oneshot::Receiver<CacheResult<SharedEntries>>;

struct TableFixture {
    table: WaitTable,
    wait_queues: Arc<WaitQueues>,
    ended_attempts: UnboundedReceiver<GroupKey>,
    start: Instant,
    invalidations: u64,
}

impl TableFixture {
    fn new() -> Self {
        let (wait_queues, ended_attempts) = WaitQueues::new();
        let wait_queues = Arc::new(wait_queues);
        let table = WaitTable::new(Arc::clone(&wait_queues), Arc::new(EntrySizes::new()));
        Self {
            table,
            wait_queues,
            ended_attempts,
            start: Instant::now(),
            invalidations: 0,
        }
    }

    fn recheck(&mut self) {
        self.table.start_recheck();
        while self.table.is_rechecking() {
            self.table.continue_recheck();
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
            cancellation: Cancellation::default(),
            _permit: permit,
        };
        (waiter, receiver)
    }

    fn read_after(&mut self, after: &str, count: u64) -> Reply {
        self.read_armed(after, count, None)
    }

    fn read_armed(&mut self, after: &str, count: u64, arming: Option<Arming>) -> Reply {
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
        let message = HubMessage::Read((*b"s").into(), reader, arming);
        self.table.handle(message);
        reply
    }

    fn join(&self) -> Admission {
        let key = GroupKey {
            stream: (*b"s").into(),
            group: (*b"g").into(),
        };
        self.wait_queues.join(key)
    }

    fn read_group(&mut self, deadline: Option<Instant>) -> Reply {
        self.read_group_armed(deadline, None)
    }

    fn read_group_armed(&mut self, deadline: Option<Instant>, arming: Option<Arming>) -> Reply {
        let slot = match self.join() {
            Admission::First(attempt) => attempt.wait(),
            Admission::Queued(slot) => slot,
        };
        let (waiter, reply) = Self::waiter(deadline);
        let consumer = GroupReadWaiter {
            waiter,
            slot,
            name: "c".into(),
            count: 1,
        };
        self.table.handle(HubMessage::ReadGroup(consumer, arming));
        reply
    }

    /// Starts the next probe, and checks what it reads.
    fn start_probe(&mut self, after: EntryId, count: u64, group_reads: usize) -> Probe {
        let probe = self.table.next_probe().expect("a probe is due");
        assert_eq!(probe.read, Some(ArmingRead { after, count }));
        assert_eq!(probe.group_reads.len(), group_reads);
        probe
    }

    /// Redis pushes an invalidation.
    fn invalidate(&mut self, ms: u64) {
        self.invalidate_at(self.at(ms));
    }

    fn invalidate_at(&mut self, at: Instant) {
        self.invalidations += 1;
        self.table.invalidated(b"s", self.invalidations, at);
    }

    /// Replies to a probe: to its read, and to its group reads. If the probe asks for the last
    /// entry and `values` does not have it, that is one after all others.
    fn reply(&mut self, mut probe: Probe, mut values: Vec<Value>, ms: u64) {
        probe.encode(&mut PackedCommands::default());
        if probe.find_end && values.len() == probe.group_reads.len() + 1 {
            values.insert(0, last_entry(&EntryId::MAX.to_string()));
        }
        if probe.end_arms() {
            values.remove(1);
            values.insert(0, Value::Okay);
        } else if probe.arms {
            values.insert(usize::from(probe.find_end), Value::Okay);
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
        .map(|entry| entry.id)
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
    fixture.invalidate(0);
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
    let error = SendError::NoAnswer(error);
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
    fixture.table.connected(1, true);
    fixture.start_probe(id("5"), 1, 1);
}

#[test]
fn a_consumer_whose_group_read_was_not_sent_goes_on_waiting() {
    let mut fixture = TableFixture::new();
    let mut consumer = fixture.read_group(None);
    let probe = fixture.start_probe(EntryId::MAX, 1, 1);
    let error = SendError::NotSent(errors::disconnected());
    fixture.table.finish_probe(probe, Err(error), fixture.at(0));
    assert!(is_waiting(&mut consumer));
    fixture.start_probe(EntryId::MAX, 1, 1);
}

#[test]
fn a_wait_whose_first_attempt_armed_the_stream_needs_no_read() {
    let arming = |generation, last_invalidation| {
        Some(Arming {
            generation,
            last_invalidation,
        })
    };
    let mut fixture = TableFixture::new();
    fixture.table.connected(1, true);
    let mut reader = fixture.read_armed("5-0", 1, arming(1, 0));
    let mut consumer = fixture.read_group_armed(None, arming(1, 0));
    assert!(fixture.table.next_probe().is_none());
    fixture.invalidate(0);
    let probe = fixture.start_probe(id("5-0"), 1, 1);
    fixture.reply(probe, vec![entries(&["6-0"]), entries(&["6-0"])], 0);
    assert_eq!(received_ids(&mut reader), ["6-0"]);
    assert_eq!(received_ids(&mut consumer), ["6-0"]);

    // The stream changed, or the connection was replaced, before the hub knew of the wait.
    for missed in [arming(1, 0), arming(0, 1)] {
        let mut fixture = TableFixture::new();
        fixture.table.connected(1, true);
        fixture.invalidate(0);
        let _reader = fixture.read_armed("5-0", 1, missed);
        fixture.start_probe(id("5-0"), 1, 0);
        let mut fixture = TableFixture::new();
        fixture.table.connected(1, true);
        fixture.invalidate(0);
        let _consumer = fixture.read_group_armed(None, missed);
        fixture.start_probe(EntryId::MAX, 1, 1);
    }
}

#[test]
fn redis_that_stops_to_arm_is_read_again_after_a_pause() {
    let mut fixture = TableFixture::new();
    let _reader = fixture.read_after("5-0", 1);
    let probe = fixture.start_probe(id("5-0"), 1, 0);
    let refusal = redis::parse_redis_value(b"-NOPERM no permission\r\n").unwrap();
    let values = Ok(vec![refusal, Value::Nil]);
    fixture.table.finish_probe(probe, values, fixture.at(0));
    assert!(fixture.table.next_probe().is_none() && fixture.table.awaits_retry());
    fixture.table.retry();
    fixture.start_probe(id("5-0"), 1, 0);
}

#[test]
fn entries_before_a_readers_id_are_polled_for_consumers() {
    let polled = |fixture: &TableFixture| {
        let streams: Vec<_> = fixture.table.polled_streams().collect();
        streams.into_iter().map(|(_, end)| end).collect::<Vec<_>>()
    };
    let mut fixture = TableFixture::new();
    fixture.table.connected(1, false);
    let _reader = fixture.read_after("9-0", 1);
    assert_eq!(polled(&fixture), []);
    let probe = fixture.start_probe(id("9-0"), 1, 0);
    fixture.reply(probe, vec![Value::Nil], 0);
    assert_eq!(polled(&fixture), [id("9-0")]);
    let mut consumer = fixture.read_group(None);
    let probe = fixture.start_probe(id("9-0"), 1, 1);
    fixture.reply(probe, vec![last_entry("5-0"), Value::Nil, Value::Nil], 0);
    assert_eq!(polled(&fixture), [id("5-0")]);
    fixture.table.changed(b"s", fixture.at(0));
    assert_eq!(polled(&fixture), []);
    let probe = fixture.start_probe(id("9-0"), 1, 1);
    fixture.reply(
        probe,
        vec![last_entry("6-0"), Value::Nil, entries(&["6-0"])],
        0,
    );
    assert_eq!(received_ids(&mut consumer), ["6-0"]);
    // The same without a reader.
    let mut fixture = TableFixture::new();
    fixture.table.connected(1, false);
    let _consumer = fixture.read_group(None);
    let probe = fixture.start_probe(EntryId::MAX, 1, 1);
    fixture.reply(probe, vec![last_entry("6-0"), Value::Nil, Value::Nil], 0);
    assert_eq!(polled(&fixture), [id("6-0")]);
}

#[test]
fn spurious_invalidations_throttle_a_stream_until_one_brings_an_entry() {
    let mut fixture = TableFixture::new();
    let _reader = fixture.read_after("5-0", 1);
    let probe = fixture.start_probe(id("5-0"), 1, 0);
    fixture.reply(probe, vec![entries(&[])], 0);
    let mut probes = 0;
    loop {
        fixture.invalidate(0);
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
    fixture.invalidate_at(until);
    assert!(fixture.table.next_probe().is_some());
}
