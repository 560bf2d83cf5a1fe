//! Names and values are bytes: any of them arrive as they were added, and can be named.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::join;
use streamgate_protocol::{
    ByteString, Bytes, CacheResult, ConsumeOptions, Deliveries, Entry, EntryOperations, Operation,
    PendingQuery, PerformOperation, Reply, StreamEntry, Tail, TailFrom, TailItem,
};

use crate::fixture::{Fixture, HANG, LONG_WAIT, Operations, started};

cases![
    ;
    needs_operations:
    every_byte_survives_reads,
    every_byte_survives_group_reads_and_claims,
    every_byte_survives_a_repeated_add,
    every_byte_survives_waits,
    an_error_that_names_bytes_is_the_error_of_its_request_alone,
    every_byte_survives_a_tail,
    every_byte_survives_a_consumer,
    every_byte_survives_in_a_dead_letter,
    the_six_operations_replace_what_is_not_utf_8,
    values_that_differ_in_a_byte_that_is_not_utf_8_stay_apart,
    streams_that_differ_in_a_byte_that_is_not_utf_8_stay_apart,
    a_consumer_of_any_name_is_listed_and_removed,
    entries_of_a_consumer_of_any_name_are_claimed,
];

type Backend = Arc<dyn Operations>;

/// The operations with names and values that are bytes.
struct InBytes(Backend);

impl PerformOperation for InBytes {
    async fn perform_operation<'a>(&'a self, operation: Operation<'a>) -> CacheResult<Reply> {
        self.0.perform(operation.into_owned()).await
    }
}

const GROUP: &[u8] = b"group\xff";
const CONSUMER: &[u8] = b"\x80consumer\0";

/// A stream's key that is not UTF-8.
fn key(f: &Fixture) -> ByteString {
    let mut key = f.key().into_bytes();
    key.extend_from_slice(b"\xff\xfe\0\x80");
    key.into()
}

/// Fields in which every byte occurs in a name and in a value, together and alone.
fn fields() -> Vec<(ByteString, ByteString)> {
    let all: Vec<u8> = (0..=255).collect();
    let reversed: Vec<u8> = (0..=255).rev().collect();
    let alone = (0..=255).map(|byte| (ByteString::from([byte]), ByteString::from([!byte])));
    let mut fields: Vec<_> = alone.collect();
    fields.push((all.into(), reversed.into()));
    fields.push(("".into(), b"\xff\xfe\0\x80".into()));
    fields.push(("text".into(), "größe \u{1f980}".into()));
    fields
}

async fn add(streams: &InBytes, key: &ByteString) -> Entry {
    let id = streams.add_entry(key, fields(), None).await.unwrap();
    Entry::new(id, fields())
}

/// A stream with a group that was delivered one entry.
async fn delivered(streams: &InBytes, key: &ByteString) -> Entry {
    streams.create_group(key, GROUP, "0").await.unwrap();
    let entry = add(streams, key).await;
    let read = streams.read_group_entries(key, GROUP, CONSUMER, 0, None);
    assert_eq!(read.await.unwrap(), std::slice::from_ref(&entry));
    entry
}

async fn every_byte_survives_reads(f: Fixture, backend: Backend) {
    let (key, streams) = (key(&f), InBytes(backend));
    let entry = add(&streams, &key).await;
    let expected = std::slice::from_ref(&entry);
    let read = streams.read_entries(&key, "0", 0, None).await;
    assert_eq!(read.unwrap(), expected);
    let latest = streams.read_latest_entries(&key, 1).await;
    assert_eq!(latest.unwrap(), expected);
}

async fn every_byte_survives_group_reads_and_claims(f: Fixture, backend: Backend) {
    let (key, streams) = (key(&f), InBytes(backend));
    let entry = delivered(&streams, &key).await;
    let expected = std::slice::from_ref(&entry);
    let pending = Operation::ReadPending {
        stream: (&key).into(),
        group: GROUP.into(),
        consumer: CONSUMER.into(),
        after: "0-0".into(),
        count: 0,
        except: Vec::new(),
    };
    let pending = streams.perform_operation(pending).await;
    assert_eq!(pending.unwrap().into_entries().unwrap(), expected);
    let claim = streams.claim_entries(&key, GROUP, "ann", 0, "0-0", 10);
    assert_eq!(claim.await.unwrap().entries, expected);
    let acked = streams.ack_entries(&key, GROUP, std::slice::from_ref(&entry.id));
    assert_eq!(acked.await, Ok(1));
}

async fn every_byte_survives_a_repeated_add(f: Fixture, backend: Backend) {
    let (key, streams) = (key(&f), InBytes(backend));
    let add = |resent| Operation::IdempotentAdd {
        stream: (&key).into(),
        fields: fields()
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        maxlen: None,
        producer: "producer".into(),
        number: 1,
        after: 0,
        resent,
    };
    let mut ids = Vec::new();
    for resent in [false, true] {
        let added = streams.perform_operation(add(resent)).await;
        ids.push(added.unwrap().into_added().unwrap());
    }
    assert_eq!(ids[0], ids[1]);
    let read = streams.read_entries(&key, "0", 0, None).await;
    assert_eq!(read.unwrap(), [Entry::new(&ids[0], fields())]);
}

async fn every_byte_survives_waits(f: Fixture, backend: Backend) {
    let (key, streams) = (key(&f), InBytes(backend));
    streams.create_group(&key, GROUP, "0").await.unwrap();
    let read = started(streams.read_entries(&key, "0", 0, LONG_WAIT));
    let group_read = started(streams.read_group_entries(&key, GROUP, CONSUMER, 0, LONG_WAIT));
    let (found, entry) = join(join(read, group_read), add(&streams, &key)).await;
    assert_eq!(found.0.unwrap(), std::slice::from_ref(&entry));
    assert_eq!(found.1.unwrap(), [entry]);
}

async fn an_error_that_names_bytes_is_the_error_of_its_request_alone(
    f: Fixture,
    backend: Backend,
) {
    let (streams, key) = (InBytes(backend), key(&f));
    let other = ByteString::from(f.key().into_bytes());
    let waiting = started(streams.read_entries(&other, "$", 1, LONG_WAIT));
    let missing = streams.read_group_entries(&key, GROUP, CONSUMER, 1, None);
    assert_eq!(missing.await.unwrap_err().code(), "NOGROUP");
    let missing = streams.summarize_pending(&key, GROUP);
    assert_eq!(missing.await.unwrap_err().code(), "NOGROUP");
    let entry = add(&streams, &other).await;
    assert_eq!(waiting.await.unwrap(), [entry]);
}

async fn next_of_tail(tail: &mut Tail) -> Vec<Entry> {
    let item = tokio::time::timeout(HANG, tail.next()).await;
    match item.unwrap().unwrap().unwrap() {
        TailItem::Entries { entries, .. } => entries,
        other => unreachable!("{other:?} instead of entries"),
    }
}

async fn every_byte_survives_a_tail(f: Fixture, backend: Backend) {
    let (key, streams) = (key(&f), InBytes(backend));
    let before = add(&streams, &key).await;
    let mut tail = f
        .backend
        .tail_stream(Bytes::from(&key), TailFrom::Beginning);
    assert_eq!(next_of_tail(&mut tail).await, [before]);
    let (after, found) = join(add(&streams, &key), next_of_tail(&mut tail)).await;
    assert_eq!(found, [after]);
}

async fn next_of_consumer(deliveries: &mut Deliveries) -> Vec<Entry> {
    let batch = tokio::time::timeout(HANG, deliveries.next()).await;
    batch.unwrap().unwrap().unwrap()
}

/// The consumer creates its group.
async fn every_byte_survives_a_consumer(f: Fixture, backend: Backend) {
    let (key, streams) = (key(&f), InBytes(backend));
    let before = add(&streams, &key).await;
    let options = ConsumeOptions::default().create_from("0");
    let names = [Bytes::from(&key), GROUP.into(), CONSUMER.into()];
    let [stream, group, consumer] = names;
    let mut deliveries = f.backend.consume_group(stream, group, consumer, options);
    assert_eq!(next_of_consumer(&mut deliveries).await, [before]);
    let (after, found) = join(add(&streams, &key), next_of_consumer(&mut deliveries)).await;
    assert_eq!(found, [after]);
}

/// In the fields of the entry, and in those that say where it comes from.
async fn every_byte_survives_in_a_dead_letter(f: Fixture, backend: Backend) {
    let (stream, dead, streams) = (key(&f), key(&f), InBytes(backend));
    let entry = delivered(&streams, &stream).await;
    let options = ConsumeOptions::default()
        .claim_after_ms(1)
        .dead_letter(dead.clone(), 1);
    let names = [Bytes::from(&stream), GROUP.into(), "ann".into()];
    let [stream_key, group, consumer] = names;
    let mut deliveries = f
        .backend
        .consume_group(stream_key, group, consumer, options);
    let letter = streams.read_entries(&dead, "0", 1, LONG_WAIT);
    let letters = tokio::select! {
        letters = letter => letters.unwrap(),
        received = deliveries.next() => unreachable!("the consumer received {received:?}"),
    };
    assert_eq!(letters[0].fields[..entry.fields.len()], entry.fields);
    let bytes_of = |name| letters[0].get_bytes(name).unwrap();
    assert_eq!(bytes_of("dead-letter-stream"), &stream[..]);
    assert_eq!(bytes_of("dead-letter-group"), GROUP);
    assert_eq!(bytes_of("dead-letter-consumer"), CONSUMER);
    assert_eq!(bytes_of("dead-letter-id"), entry.id.as_bytes());
}

async fn the_six_operations_replace_what_is_not_utf_8(f: Fixture, backend: Backend) {
    let (key, streams) = (f.key(), InBytes(backend));
    let entry = StreamEntry::from(add(&streams, &ByteString::from(&key)).await);
    assert_eq!(entry.1[255], ("\u{fffd}".to_owned(), "\0".to_owned()));
    assert_eq!(f.read(&key, "0").await.unwrap(), std::slice::from_ref(&entry));
    let latest = f.backend.stream_read_latest(&key, 1).await;
    assert_eq!(latest.unwrap(), std::slice::from_ref(&entry));
    let created = f.backend.stream_create_group(&key, "group", "0").await;
    created.unwrap();
    let read = f.read_group_now(&key, "group", "ann").await;
    assert_eq!(read.unwrap(), [entry]);
}

async fn values_that_differ_in_a_byte_that_is_not_utf_8_stay_apart(f: Fixture, backend: Backend) {
    let (key, streams) = (f.key(), InBytes(backend));
    for value in [b"\xfe", b"\xff"] {
        let fields = [("value", value)];
        streams.add_entry(&key, fields, None).await.unwrap();
    }
    let read = streams.read_entries(&key, "0", 0, None).await.unwrap();
    let values: Vec<_> = read.iter().map(|entry| entry.get_bytes("value")).collect();
    assert_eq!(values, [Some(&b"\xfe"[..]), Some(&b"\xff"[..])]);
}

async fn streams_that_differ_in_a_byte_that_is_not_utf_8_stay_apart(f: Fixture, backend: Backend) {
    let (prefix, streams) = (f.key().into_bytes(), InBytes(backend));
    let keys = [0xfe, 0xff].map(|last| ByteString::from([&prefix[..], &[last]].concat()));
    let mut added = Vec::new();
    for key in &keys {
        added.push(add(&streams, key).await);
    }
    for (key, entry) in keys.iter().zip(added) {
        let read = streams.read_entries(key, "0", 0, None).await;
        assert_eq!(read.unwrap(), [entry]);
    }
}

/// Names that would be the same text.
const NAMES: [&[u8]; 3] = [b"c\xfe", b"c\xff", "c\u{fffd}".as_bytes()];

/// A stream whose group delivered one entry to each of [`NAMES`].
async fn held_by_all(f: &Fixture, streams: &InBytes) -> (ByteString, Vec<Entry>) {
    let key = key(f);
    streams.create_group(&key, GROUP, "0").await.unwrap();
    let mut entries = Vec::new();
    for name in NAMES {
        let entry = add(streams, &key).await;
        let read = streams.read_group_entries(&key, GROUP, name, 1, None);
        assert_eq!(read.await.unwrap(), std::slice::from_ref(&entry));
        entries.push(entry);
    }
    (key, entries)
}

async fn a_consumer_of_any_name_is_listed_and_removed(f: Fixture, backend: Backend) {
    let streams = InBytes(backend);
    let (key, entries) = held_by_all(&f, &streams).await;
    let mut sorted = NAMES;
    sorted.sort_unstable();
    let consumers = streams.list_consumers(&key, GROUP).await.unwrap();
    let names: Vec<_> = consumers.iter().map(|consumer| &consumer.name[..]).collect();
    assert_eq!(names, sorted);
    let summary = streams.summarize_pending(&key, GROUP).await.unwrap();
    let counts = sorted.map(|name| (ByteString::from(name), 1));
    assert_eq!(summary.consumers, counts);
    for (name, entry) in NAMES.iter().zip(&entries) {
        let query = PendingQuery::default().consumer(*name);
        let pending = streams.list_pending(&key, GROUP, query).await.unwrap();
        assert_eq!(pending.len(), 1, "{pending:?}");
        assert_eq!((&pending[0].id, &pending[0].consumer[..]), (&entry.id, *name));
    }
    let [first, second, third] = NAMES;
    let removed = streams.remove_group_consumer(&key, GROUP, first, third);
    assert_eq!(removed.await, Ok(1));
    let removed = streams.remove_group_consumer(&key, GROUP, second, third);
    assert_eq!(removed.await, Ok(1));
    let consumers = streams.list_consumers(&key, GROUP).await.unwrap();
    assert_eq!(consumers.len(), 1);
    assert_eq!((&consumers[0].name[..], consumers[0].pending), (third, 3));
}

async fn entries_of_a_consumer_of_any_name_are_claimed(f: Fixture, backend: Backend) {
    let streams = InBytes(backend);
    let (key, entries) = held_by_all(&f, &streams).await;
    let claim = streams.claim_entries(&key, GROUP, NAMES[1], 0, "0-0", 10);
    assert_eq!(claim.await.unwrap().entries, entries);
    let query = PendingQuery::default().consumer(NAMES[1]);
    let pending = streams.list_pending(&key, GROUP, query).await.unwrap();
    let deliveries: Vec<_> = pending.iter().map(|entry| entry.deliveries).collect();
    assert_eq!(deliveries, [2, 2, 2]);
}
