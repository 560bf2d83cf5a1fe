use super::*;

fn latest(streams: &MemoryStreams, count: usize) -> Vec<Entry> {
    now(streams.read_latest_entries("s", count)).unwrap()
}

#[test]
fn ids_grow_and_begin_with_the_clock() {
    let streams = MemoryStreams::new();
    let before = crate::clock::now_ms();
    let ids: Vec<_> = (0..100).map(|_| add(&streams, "s", "x")).collect();
    let after = crate::clock::now_ms();
    let numbers = |id: &String| {
        let (ms, seq) = id.split_once('-').unwrap();
        (ms.parse::<u64>().unwrap(), seq.parse::<u64>().unwrap())
    };
    let numbers: Vec<_> = ids.iter().map(numbers).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{ids:?}");
    assert!(
        numbers.iter().all(|(ms, _)| (before..=after).contains(ms)),
        "{ids:?}"
    );
}

#[test]
fn an_added_entry_is_read() {
    let streams = MemoryStreams::default();
    let fields = vec![
        ("b".to_owned(), "1\n\0\"é🦀".to_owned()),
        (String::new(), String::new()),
        ("b".to_owned(), "2".to_owned()),
    ];
    let id = now(streams.stream_add("s", fields.clone(), None)).unwrap();
    assert_eq!(read_all(&streams, "s"), [Entry::new(id, fields)]);
    assert_eq!(
        read_all(&streams.clone(), "s").len(),
        1,
        "a clone shares the streams"
    );
    assert_eq!(read_all(&streams, "other"), []);
}

#[test]
fn an_add_without_fields_is_refused() {
    let streams = MemoryStreams::new();
    assert_eq!(code(now(streams.stream_add("s", vec![], None))), "ERR");
    assert_eq!(used(&streams), [0, 0, 0]);
}

#[test]
fn names_beyond_the_bound_are_refused() {
    let streams = MemoryStreams::new();
    let long = "k".repeat(64 * 1024);
    assert_eq!(
        code(now(streams.stream_add(&long, one("x"), None))),
        "LIMIT"
    );
    assert_eq!(
        code(now(streams.read_entries(&long, "0", 0, Some(1)))),
        "LIMIT"
    );
    assert_eq!(
        code(now(streams.read_group_entries("s", "g", &long, 0, None))),
        "LIMIT"
    );
}

#[test]
fn the_latest_come_newest_first() {
    let streams = MemoryStreams::new();
    assert_eq!(latest(&streams, 5), []);
    for value in ["a", "b", "c"] {
        add(&streams, "s", value);
    }
    assert_eq!(latest(&streams, 0), []);
    assert_eq!(values(&latest(&streams, 1)), ["c"]);
    assert_eq!(values(&latest(&streams, 2)), ["c", "b"]);
    assert_eq!(values(&latest(&streams, usize::MAX)), ["c", "b", "a"]);
}

#[test]
fn reads_are_strictly_after_an_id() {
    let streams = MemoryStreams::new();
    let ids: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|value| add(&streams, "s", value))
        .collect();
    let read = |id: &str, count| now(streams.read_entries("s", id, count, None)).unwrap();
    assert_eq!(
        values(&read("0", 0)),
        ["a", "b", "c"],
        "a count of 0 is no limit"
    );
    assert_eq!(values(&read("0-0", 2)), ["a", "b"]);
    assert_eq!(values(&read(&ids[0], usize::MAX)), ["b", "c"]);
    assert_eq!(read(&ids[2], 0), []);
    assert_eq!(read("$", 0), []);
    assert_eq!(read("18446744073709551615-18446744073709551615", 0), []);
    for malformed in ["", "-", "+", ">", "abc", "1-2-3"] {
        assert_eq!(
            code(now(streams.read_entries("s", malformed, 0, None))),
            "ERR"
        );
        assert_eq!(
            code(now(streams.read_entries("missing", malformed, 0, None))),
            "ERR"
        );
    }
}

#[test]
fn a_read_returns_the_id_to_read_from_next() {
    let streams = MemoryStreams::new();
    let last_id = |id: &str| {
        let operation = Operation::Read {
            stream: "s".into(),
            last_id: id.into(),
            count: 0,
            block_ms: None,
        };
        match done(now(streams.perform(vec![operation], PerformOptions::default())).remove(0))
            .unwrap()
        {
            Reply::Entries { last_id, .. } => last_id.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(last_id("$"), "0-0");
    assert_eq!(last_id("7"), "7");
    let id = add(&streams, "s", "a");
    assert_eq!(last_id("$"), id);
    assert_eq!(last_id("0"), id);
    let trimmed = now(streams.stream_add("s", one("b"), Some(0))).unwrap();
    assert_eq!(last_id("$"), trimmed, "the last id survives trimming");
}

#[test]
fn maxlen_keeps_the_newest() {
    let streams = MemoryStreams::new();
    let add_within = |value, maxlen| now(streams.stream_add("s", one(value), maxlen)).unwrap();
    for value in ["a", "b", "c"] {
        add_within(value, Some(2));
    }
    assert_eq!(values(&read_all(&streams, "s")), ["b", "c"]);
    add_within("d", Some(usize::MAX));
    assert_eq!(values(&read_all(&streams, "s")), ["b", "c", "d"]);
    add_within("e", Some(1));
    assert_eq!(values(&read_all(&streams, "s")), ["e"]);
    add_within("f", Some(0));
    assert_eq!(read_all(&streams, "s"), []);
    let id = add(&streams, "s", "g");
    assert_eq!(read_all(&streams, "s"), [Entry::new(id, one("g"))]);
}

#[test]
fn a_list_is_performed_in_order() {
    let streams = MemoryStreams::new();
    let add = |value: &'static str| Operation::Add {
        stream: "s".into(),
        fields: vec![("v".into(), value.into())],
        maxlen: None,
    };
    let latest = || Operation::ReadLatest {
        stream: "s".into(),
        count: 9,
    };
    let invalid = Operation::Add {
        stream: "s".into(),
        fields: vec![],
        maxlen: None,
    };
    let list = vec![
        latest(),
        add("a"),
        blocking_read("$", 0),
        latest(),
        invalid,
        add("b"),
        blocking_read("0", 0),
    ];
    let mut progress = now(streams.perform(list, PerformOptions::default())).into_iter();
    let mut next = || progress.next().expect("one progress for one operation");

    assert_eq!(done(next()).unwrap().into_entries().unwrap(), []);
    assert!(matches!(done(next()), Ok(Reply::Added { .. })));
    let Progress::Waiting { future: waits, .. } = next() else {
        panic!("a read from the end waits")
    };
    assert_eq!(
        values(&done(next()).unwrap().into_entries().unwrap()),
        ["a"]
    );
    assert_eq!(code(done(next())), "ERR");
    assert!(matches!(done(next()), Ok(Reply::Added { .. })));
    assert_eq!(
        values(&done(next()).unwrap().into_entries().unwrap()),
        ["a", "b"]
    );
    assert!(progress.next().is_none());
    assert_eq!(values(&now(waits).unwrap().into_entries().unwrap()), ["b"]);
}

#[test]
fn a_call_does_nothing_before_it_is_polled() {
    let streams = MemoryStreams::new();
    drop(streams.stream_add("s", one("a"), None));
    drop(streams.perform(vec![blocking_read("$", 0)], PerformOptions::default()));
    assert_eq!(used(&streams), [0, 0, 0]);
}
