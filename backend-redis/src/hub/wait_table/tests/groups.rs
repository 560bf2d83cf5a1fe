//! The order of group reads, first attempts, drained groups and cancels.

use super::*;

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
fn an_overdue_consumer_gets_no_entries_once_the_group_is_drained() {
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
fn nobody_is_served_before_the_first_attempt_has_ended() {
    let mut fixture = TableFixture::new();
    let key = GroupKey {
        stream: (*b"s").into(),
        group: (*b"g").into(),
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
    fixture.invalidate(1);
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
    fixture.invalidate(2);
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
    fixture.invalidate(0);
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
    fixture.recheck();
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
    fixture.recheck();
    assert_eq!(group_reads(&mut fixture), 0);
    assert!(is_waiting(&mut second));
    fixture.recheck();
    assert_eq!(group_reads(&mut fixture), 1);
}

#[test]
fn a_cancel_in_a_drained_group_causes_no_probe() {
    let mut fixture = TableFixture::new();
    let _first = fixture.read_group(None);
    let cancel_last = |fixture: &mut TableFixture| {
        let number = fixture.wait_queues.next_number() - 1;
        fixture.table.handle(HubMessage::CancelWait(WaiterKey {
            stream: (*b"s").into(),
            group: Some((*b"g").into()),
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
    fixture.invalidate(0);
    fixture.start_probe(EntryId::MAX, 1, 1);
}

#[test]
fn no_group_is_read_for_a_consumer_that_has_cancelled() {
    let mut fixture = TableFixture::new();
    let gone = fixture.read_group(None);
    let mut next = fixture.read_group(None);
    // The consumer cancels between the start of the probe and the moment in which it is sent.
    let probe = fixture.start_probe(EntryId::MAX, 1, 1);
    drop(gone);
    let mut probe = probe;
    let mut packed = PackedCommands::default();
    probe.encode(&mut packed);
    assert!(probe.group_reads.is_empty());
    let text = String::from_utf8_lossy(&packed.bytes);
    assert!(!text.contains("XREADGROUP"), "{text}");
    let values = vec![Value::Okay, last_entry("1-0")];
    fixture.table.finish_probe(probe, Ok(values), fixture.at(0));
    let probe = fixture.table.next_probe().expect("another consumer waits");
    assert_eq!((probe.read, probe.group_reads.len()), (None, 1));
    fixture.reply(probe, vec![entries(&["1-0"])], 0);
    assert_eq!(received_ids(&mut next), ["1-0"]);
    assert!(fixture.table.is_empty());
}
