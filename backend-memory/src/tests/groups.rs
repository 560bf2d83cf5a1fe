use super::*;

fn with_group(start: &str) -> MemoryStreams {
    let streams = MemoryStreams::new();
    now(streams.stream_create_group("s", "g", start)).unwrap();
    streams
}

fn ack(streams: &MemoryStreams, group: &str, ids: &[&str]) -> CacheResult<()> {
    let ids: Vec<_> = ids.iter().map(|&id| id.to_owned()).collect();
    now(streams.stream_ack("s", group, &ids))
}

#[test]
fn a_group_is_created_once() {
    let streams = with_group("0");
    assert_eq!(
        code(now(streams.stream_create_group("s", "g", "$"))),
        "BUSYGROUP"
    );
    assert_eq!(
        code(now(streams.stream_create_group("s", "g", "bad"))),
        "ERR",
        "the id is checked first"
    );
    assert_eq!(code(now(streams.stream_create_group("s", "h", "-"))), "ERR");
    now(streams.stream_create_group("s", "h", "5-5")).unwrap();
    now(streams.stream_create_group("other", "g", "$")).unwrap();
}

#[test]
fn a_group_starts_after_its_id() {
    let streams = MemoryStreams::new();
    let first = add(&streams, "s", "a");
    for (group, start) in [("all", "0"), ("rest", first.as_str()), ("new", "$")] {
        now(streams.stream_create_group("s", group, start)).unwrap();
    }
    add(&streams, "s", "b");
    now(streams.stream_create_group("s", "far", "99999999999999")).unwrap();
    assert_eq!(values(&read_for(&streams, "all", "c", 0)), ["a", "b"]);
    assert_eq!(values(&read_for(&streams, "rest", "c", 0)), ["b"]);
    assert_eq!(values(&read_for(&streams, "new", "c", 0)), ["b"]);
    assert_eq!(read_for(&streams, "far", "c", 0), []);
}

#[test]
fn reading_a_missing_group_fails_with_nogroup() {
    let streams = MemoryStreams::new();
    let read = |group| now(streams.read_group_entries("s", group, "c", 1, Some(1)));
    assert_eq!(code(read("g")), "NOGROUP");
    add(&streams, "s", "a");
    assert_eq!(code(read("g")), "NOGROUP");
    assert_eq!(ack(&streams, "g", &["1-0"]), Ok(()), "as in Redis");
    assert_eq!(code(ack(&streams, "g", &["malformed"])), "ERR");
}

#[test]
fn each_entry_goes_to_one_consumer_and_stays_pending() {
    let streams = with_group("$");
    let ids: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|value| add(&streams, "s", value))
        .collect();
    assert_eq!(values(&read_for(&streams, "g", "one", 1)), ["a"]);
    assert_eq!(
        values(&read_for(&streams, "g", "two", usize::MAX)),
        ["b", "c"]
    );
    assert_eq!(read_for(&streams, "g", "one", 0), []);
    let owners = [("one", 0), ("two", 1), ("two", 2)];
    let expected = owners.map(|(consumer, i): (&str, usize)| (ids[i].clone(), consumer.to_owned()));
    assert_eq!(pending(&streams, "g"), expected);
    now(streams.stream_add("s", one("d"), Some(0))).unwrap();
    assert_eq!(
        pending(&streams, "g"),
        expected,
        "trimmed entries stay pending"
    );
    assert_eq!(read_for(&streams, "g", "one", 0), []);
}

#[test]
fn a_delivery_records_its_time() {
    let streams = with_group("0");
    add(&streams, "s", "a");
    let before = crate::clock::now_ms();
    read_for(&streams, "g", "c", 0);
    let store = streams.store.lock();
    let record = store.streams[&b"s"[..]].groups[&b"g"[..]]
        .pending()
        .values()
        .next()
        .unwrap();
    assert!((before..=crate::clock::now_ms()).contains(&record.delivered_at_ms));
    assert_eq!(record.deliveries, 1);
}

#[test]
fn acknowledged_entries_are_not_pending() {
    let streams = with_group("0");
    let ids: Vec<_> = ["a", "b"]
        .iter()
        .map(|value| add(&streams, "s", value))
        .collect();
    read_for(&streams, "g", "c", 0);
    assert_eq!(code(ack(&streams, "g", &[&ids[0], "malformed"])), "ERR");
    assert_eq!(code(ack(&streams, "g", &["$"])), "ERR");
    assert_eq!(pending(&streams, "g").len(), 2, "all ids are checked first");
    ack(&streams, "g", &[]).unwrap();
    ack(&streams, "g", &[&ids[0], &ids[0], "1-1"]).unwrap();
    ack(&streams, "g", &[&ids[0]]).unwrap();
    assert_eq!(pending(&streams, "g"), [(ids[1].clone(), "c".to_owned())]);
    now(streams.stream_ack("missing", "g", &["1-1".to_owned()])).unwrap();
}

#[test]
fn groups_are_independent() {
    let streams = with_group("0");
    now(streams.stream_create_group("s", "h", "0")).unwrap();
    let id = add(&streams, "s", "a");
    assert_eq!(
        read_for(&streams, "g", "c", 0),
        read_for(&streams, "h", "c", 0)
    );
    ack(&streams, "g", &[&id]).unwrap();
    assert_eq!(pending(&streams, "g"), []);
    assert_eq!(pending(&streams, "h").len(), 1);
}
