//! A cursor beside a model of a stream, which answers as Redis does.

use streamgate_protocol::{Entry, GapReason};

use super::*;

fn id(n: u64) -> EntryId {
    EntryId::new(n, 0)
}

/// A stream as Redis keeps it. Entry `n` has the id `n-0`.
#[derive(Debug, Default, Clone)]
struct StreamModel {
    exists: bool,
    entries: Vec<u64>,
    last_generated: u64,
    added: u64,
}

impl StreamModel {
    fn with(ids: impl IntoIterator<Item = u64>) -> Self {
        let mut stream = Self::default();
        for n in ids {
            stream.add(n);
        }
        stream
    }

    fn add(&mut self, n: u64) {
        self.exists = true;
        self.entries.push(n);
        self.last_generated = n;
        self.added += 1;
    }

    fn delete(&mut self, n: u64) {
        self.entries.retain(|entry| *entry != n);
    }

    fn trim_before(&mut self, n: u64) {
        self.entries.retain(|entry| *entry >= n);
    }

    fn answer(&self, request: RangeRequest) -> RangeReply {
        let rows = self.entries.iter().filter(|n| id(**n) >= request.position);
        let limit = usize::try_from(request.count + 1).unwrap();
        let rows: Vec<u64> = rows.copied().take(limit).collect();
        let position_exists = rows
            .first()
            .is_some_and(|first| id(*first) == request.position);
        let entry = |n: &u64| Entry::new(id(*n), [("f", "v")]);
        let after = &rows[usize::from(position_exists)..];
        RangeReply {
            position_exists,
            entries: after.iter().map(entry).collect(),
            is_full: rows.len() >= limit,
            looked_up: request
                .look_up
                .iter()
                .map(|look_up| (*look_up, self.entries.iter().any(|n| id(*n) == *look_up)))
                .collect(),
            info: match (request.with_info, self.exists) {
                (false, _) => InfoReply::NotRequested,
                (true, false) => InfoReply::NoStream,
                (true, true) => InfoReply::Info(StreamInfo::new(
                    self.entries.first().copied().map(id),
                    id(self.last_generated),
                    self.entries.len() as u64,
                    self.added,
                )),
            },
        }
    }
}

/// What a tail sees: an entry, or a gap with the position after it.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Entry(u64),
    Gap {
        reason: GapReason,
        position: EntryId,
    },
}

/// Reads pages of `count` entries up to the end of the stream, as a tail does.
fn read_to_end(cursor: &mut TailCursor, stream: &StreamModel, count: u64) -> Vec<Seen> {
    let mut seen = Vec::new();
    // Each page has entries or a gap, or makes the next one include the info.
    for _ in 0..100 {
        let reply = stream.answer(cursor.request(count));
        let Some(page) = cursor.check(reply) else {
            continue;
        };
        seen.extend(page.gap.map(|gap| Seen::Gap {
            reason: gap.reason,
            position: gap.position,
        }));
        pass_on(cursor, &page, &mut seen);
        if page.at_end {
            return seen;
        }
    }
    panic!("the cursor does not reach the end: {cursor:?}, {seen:?}");
}

fn pass_on(cursor: &mut TailCursor, page: &CheckedPage, seen: &mut Vec<Seen>) {
    let ids = page.entries.iter().map(|entry| entry_id(entry).unwrap());
    seen.extend(ids.map(|id| Seen::Entry(id.ms)));
    if let Some(last) = page.entries.last() {
        cursor.advance(entry_id(last).unwrap(), &page.entries);
    }
}

fn entries(ids: impl IntoIterator<Item = u64>) -> Vec<Seen> {
    ids.into_iter().map(Seen::Entry).collect()
}

/// A gap, then these entries: the position after the gap is right before the first of them.
fn gap_then(reason: GapReason, ids: impl IntoIterator<Item = u64>) -> Vec<Seen> {
    let mut seen = entries(ids);
    let Some(Seen::Entry(first)) = seen.first() else {
        panic!("no entry after the gap")
    };
    let position = id(*first).predecessor().unwrap();
    seen.insert(0, Seen::Gap { reason, position });
    seen
}

/// A cursor that has read a whole stream, and once more at its end.
fn cursor_at_end_of(stream: &StreamModel) -> TailCursor {
    let mut cursor = TailCursor::new(EntryId::ZERO, Some(0));
    read_to_end(&mut cursor, stream, 100);
    assert_settled(&mut cursor, stream);
    assert_eq!(cursor.position, id(stream.last_generated));
    cursor
}

/// Checks that another read finds nothing more, and that it needs no info.
fn assert_settled(cursor: &mut TailCursor, stream: &StreamModel) {
    assert_eq!(read_to_end(cursor, stream, 10), []);
    assert!(!cursor.request(10).with_info, "{cursor:?}");
}

#[test]
fn contiguous_reads_need_no_info_and_report_no_gap() {
    let mut stream = StreamModel::with(1..=3);
    let mut cursor = cursor_at_end_of(&stream);
    for n in 4..10 {
        stream.add(n);
        assert!(!cursor.request(10).with_info);
        assert_eq!(read_to_end(&mut cursor, &stream, 10), entries([n]));
    }
    assert_settled(&mut cursor, &stream);
}

#[test]
fn every_page_size_reads_every_entry_once() {
    let stream = StreamModel::with(1..=12);
    for count in 1..=14 {
        let mut cursor = TailCursor::new(EntryId::ZERO, Some(0));
        assert_eq!(
            read_to_end(&mut cursor, &stream, count),
            entries(1..=12),
            "pages of {count}"
        );
        assert_settled(&mut cursor, &stream);
    }
}

#[test]
fn a_full_page_is_not_the_end_even_if_nothing_comes_after_it() {
    let stream = StreamModel::with(1..=4);
    let mut cursor = TailCursor::new(id(2), Some(2));
    let page = cursor.check(stream.answer(cursor.request(2))).unwrap();
    assert_eq!((page.entries.len(), page.at_end), (2, false));
    cursor.advance(id(4), &page.entries);
    let page = cursor.check(stream.answer(cursor.request(2))).unwrap();
    assert_eq!((page.entries.len(), page.at_end), (0, true));
}

#[test]
fn a_deleted_entry_at_the_cursor_is_no_gap() {
    let mut stream = StreamModel::with(1..=5);
    let mut cursor = cursor_at_end_of(&stream);
    stream.delete(5);
    assert_eq!(read_to_end(&mut cursor, &stream, 10), []);
    stream.add(6);
    assert_eq!(read_to_end(&mut cursor, &stream, 10), entries([6]));
    assert_settled(&mut cursor, &stream);
}

#[test]
fn deleting_every_entry_that_was_read_is_no_gap() {
    let mut stream = StreamModel::with(1..=3);
    let mut cursor = cursor_at_end_of(&stream);
    stream.trim_before(4);
    assert_eq!(read_to_end(&mut cursor, &stream, 10), []);
    stream.add(4);
    stream.add(5);
    assert_eq!(read_to_end(&mut cursor, &stream, 10), entries([4, 5]));
}

#[test]
fn a_trim_up_to_the_cursor_is_no_gap_and_one_past_it_is() {
    for (first_left, missing) in [(5, false), (6, false), (7, true), (9, true)] {
        let mut stream = StreamModel::with(1..=5);
        let mut cursor = cursor_at_end_of(&stream);
        (6..=9).for_each(|n| stream.add(n));
        stream.trim_before(first_left);
        let expected = match missing {
            true => gap_then(GapReason::Trimmed, first_left..=9),
            false => entries(6..=9),
        };
        let seen = read_to_end(&mut cursor, &stream, 10);
        assert_eq!(seen, expected, "first entry left: {first_left}");
        assert_settled(&mut cursor, &stream);
    }
}

#[test]
fn a_trim_of_everything_is_a_gap_up_to_the_last_generated_id() {
    let mut stream = StreamModel::with(1..=5);
    let mut cursor = cursor_at_end_of(&stream);
    (6..=9).for_each(|n| stream.add(n));
    stream.trim_before(10);
    let gap = Seen::Gap {
        reason: GapReason::Trimmed,
        position: id(9),
    };
    assert_eq!(read_to_end(&mut cursor, &stream, 10), [gap]);
    assert_eq!(
        read_to_end(&mut cursor, &stream, 10),
        [],
        "it is reported once"
    );
    stream.add(10);
    assert_eq!(read_to_end(&mut cursor, &stream, 10), entries([10]));
}

#[test]
fn a_trim_between_two_pages_is_a_gap() {
    let mut stream = StreamModel::with(1..=10);
    let mut cursor = TailCursor::new(EntryId::ZERO, Some(0));
    let mut seen = Vec::new();
    let page = cursor.check(stream.answer(cursor.request(3))).unwrap();
    pass_on(&mut cursor, &page, &mut seen);
    // One more than requested, because no entry has the id 0-0.
    assert_eq!(seen, entries(1..=4));
    stream.trim_before(8);
    let expected = gap_then(GapReason::Trimmed, 8..=10);
    assert_eq!(read_to_end(&mut cursor, &stream, 3), expected);
}

#[test]
fn a_deleted_stream_is_reported_once_and_its_successor_is_read_from_the_start() {
    let stream = StreamModel::with(1..=5);
    let mut cursor = cursor_at_end_of(&stream);
    let mut stream = StreamModel::default();
    let gap = Seen::Gap {
        reason: GapReason::Recreated,
        position: EntryId::ZERO,
    };
    assert_eq!(read_to_end(&mut cursor, &stream, 10), [gap]);
    assert_eq!(read_to_end(&mut cursor, &stream, 10), []);
    stream.add(1);
    stream.add(2);
    assert_eq!(read_to_end(&mut cursor, &stream, 10), entries([1, 2]));
}

#[test]
fn a_stream_recreated_with_smaller_ids_is_read_from_its_first_entry() {
    let stream = StreamModel::with(10..=15);
    let mut cursor = cursor_at_end_of(&stream);
    let stream = StreamModel::with(1..=3);
    let expected = gap_then(GapReason::Recreated, 1..=3);
    assert_eq!(read_to_end(&mut cursor, &stream, 10), expected);
    assert_settled(&mut cursor, &stream);
}

#[test]
fn a_stream_recreated_with_greater_ids_is_recognized_by_its_lower_count() {
    let stream = StreamModel::with(1..=5);
    let mut cursor = cursor_at_end_of(&stream);
    let stream = StreamModel::with([8, 9]);
    let expected = gap_then(GapReason::Recreated, [8, 9]);
    assert_eq!(read_to_end(&mut cursor, &stream, 10), expected);
}

#[test]
fn a_cursor_after_an_existing_id_reads_what_follows() {
    let stream = StreamModel::with(1..=5);
    let mut cursor = TailCursor::after(id(3));
    assert!(cursor.request(10).with_info);
    assert_eq!(read_to_end(&mut cursor, &stream, 10), entries([4, 5]));
    assert_settled(&mut cursor, &stream);
}

#[test]
fn a_cursor_after_an_id_before_the_oldest_entry_reports_a_gap() {
    let mut stream = StreamModel::with(1..=5);
    stream.trim_before(4);
    let mut cursor = TailCursor::after(id(1));
    let expected = gap_then(GapReason::Trimmed, [4, 5]);
    assert_eq!(read_to_end(&mut cursor, &stream, 10), expected);
}

#[test]
fn a_cursor_after_an_id_beyond_the_end_takes_the_stream_for_a_recreated_one() {
    let stream = StreamModel::with(1..=3);
    let mut cursor = TailCursor::after(id(100));
    let expected = gap_then(GapReason::Recreated, 1..=3);
    assert_eq!(read_to_end(&mut cursor, &stream, 10), expected);
}

#[test]
fn a_cursor_that_knows_no_count_asks_for_it_before_it_is_at_the_end() {
    let stream = StreamModel::with(1..=5);
    let mut cursor = TailCursor::new(id(3), None);
    let page = cursor.check(stream.answer(cursor.request(10))).unwrap();
    assert_eq!((page.entries.len(), page.at_end), (2, false));
    cursor.advance(id(5), &page.entries);
    assert!(cursor.request(10).with_info);
    assert_settled(&mut cursor, &stream);
}

#[test]
fn a_tail_starts_before_the_entries_that_its_first_read_finds() {
    let mut stream = StreamModel::with(1..=9);
    stream.trim_before(4);
    for (count, at_end) in [(2, false), (100, true)] {
        let reply = stream.answer(TailCursor::first_request(id(1), count));
        let (mut cursor, page) = TailCursor::start(id(1), reply).unwrap().unwrap();
        assert_eq!(cursor.position, id(4).predecessor().unwrap());
        assert_eq!((page.gap, page.at_end), (None, at_end));
        let mut seen = Vec::new();
        pass_on(&mut cursor, &page, &mut seen);
        seen.extend(read_to_end(&mut cursor, &stream, count));
        assert_eq!(seen, entries(4..=9));
        assert_settled(&mut cursor, &stream);
    }
}

#[test]
fn a_tail_of_an_empty_stream_starts_at_its_last_generated_id() {
    let mut stream = StreamModel::with(1..=5);
    stream.trim_before(6);
    let reply = stream.answer(TailCursor::first_request(EntryId::ZERO, 10));
    let (mut cursor, page) = TailCursor::start(EntryId::ZERO, reply).unwrap().unwrap();
    assert_eq!((cursor.position, page.at_end), (id(5), true));
    stream.add(6);
    assert_eq!(read_to_end(&mut cursor, &stream, 10), entries([6]));
}

#[test]
fn a_tail_of_a_missing_stream_starts_before_its_first_entry() {
    let mut stream = StreamModel::default();
    let reply = stream.answer(TailCursor::first_request(EntryId::ZERO, 10));
    let (mut cursor, page) = TailCursor::start(EntryId::ZERO, reply).unwrap().unwrap();
    assert_eq!((cursor.position, page.at_end), (EntryId::ZERO, true));
    stream.add(1);
    assert_eq!(read_to_end(&mut cursor, &stream, 10), entries([1]));
}

#[test]
fn a_tail_starts_anew_if_the_stream_was_recreated_before_its_first_read() {
    let stream = StreamModel::with(1..=3);
    let reply = stream.answer(TailCursor::first_request(id(7), 10));
    assert!(TailCursor::start(id(7), reply).unwrap().is_none());
}

/// What a tail sees of a rollback after which it goes on from the entry `n`.
fn rolled_back_to(n: u64) -> Seen {
    Seen::Gap {
        reason: GapReason::RolledBack,
        position: id(n),
    }
}

#[test]
fn a_rolled_back_stream_is_read_on_from_its_end() {
    for kept in 1..20 {
        let older = StreamModel::with(1..=kept);
        let mut cursor = cursor_at_end_of(&StreamModel::with(1..=20));
        let mut stream = older.clone();
        let seen = read_to_end(&mut cursor, &stream, 10);
        assert_eq!(seen, [rolled_back_to(kept)], "{kept} of 20 are left");
        assert_settled(&mut cursor, &stream);
        for n in [30, 31] {
            stream.add(n);
            assert_eq!(read_to_end(&mut cursor, &stream, 10), entries([n]));
        }
    }
}

#[test]
fn a_rolled_back_stream_that_has_grown_since_is_read_on_from_the_position() {
    let is_gap = |seen: &Seen| matches!(seen, Seen::Gap { .. });
    for kept in 1..20 {
        let mut stream = StreamModel::with(1..=kept);
        let mut cursor = cursor_at_end_of(&StreamModel::with(1..=20));
        (30..60).for_each(|n| stream.add(n));
        for count in [1, 3, 100] {
            let mut seen = read_to_end(&mut cursor.clone(), &stream, count);
            let gaps: Vec<_> = seen.extract_if(.., |seen| is_gap(seen)).collect();
            assert_eq!(seen, entries(30..60), "pages of {count}");
            let reason = GapReason::RolledBack;
            assert!(
                matches!(gaps[..], [Seen::Gap { reason: found, .. }] if found == reason),
                "{kept} of 20 are left, pages of {count}: {gaps:?}"
            );
            assert!(count < 100 || gaps == [rolled_back_to(20)]);
        }
        read_to_end(&mut cursor, &stream, 10);
        assert_settled(&mut cursor, &stream);
    }
}

#[test]
fn a_trimmed_stream_is_recognized_after_a_rollback() {
    let mut older = StreamModel::default();
    let mut cursor = TailCursor::new(EntryId::ZERO, Some(0));
    let mut stream = StreamModel::default();
    for n in 1..=1_000 {
        stream.add(n);
        stream.trim_before(n.saturating_sub(400));
        assert_eq!(read_to_end(&mut cursor, &stream, 10), entries([n]));
        if n == 900 {
            older = stream.clone();
        }
    }
    assert_eq!(read_to_end(&mut cursor, &older, 10), [rolled_back_to(900)]);
    let again = StreamModel {
        entries: (700..=850).collect(),
        last_generated: 850,
        ..older
    };
    let seen = read_to_end(&mut cursor, &again, 10);
    assert_eq!(seen, [rolled_back_to(850)], "a second time");
}

#[test]
fn a_tail_from_now_recognizes_a_rollback_by_the_oldest_entry() {
    let stream = StreamModel::with(1..=20);
    let InfoReply::Info(info) = stream.answer(TailCursor::first_request(id(1), 1)).info else {
        panic!("it has info");
    };
    let mut cursor = TailCursor::at_end_of(&info);
    let older = StreamModel::with(1..=15);
    assert_eq!(read_to_end(&mut cursor, &older, 10), [rolled_back_to(15)]);
}

#[test]
fn a_stream_emptied_by_a_rollback_is_taken_for_a_recreated_one() {
    let mut cursor = cursor_at_end_of(&StreamModel::with(1..=5));
    let mut empty = StreamModel::with(1..=3);
    empty.trim_before(4);
    let expected = Seen::Gap {
        reason: GapReason::Recreated,
        position: id(3),
    };
    assert_eq!(read_to_end(&mut cursor, &empty, 10), [expected]);
}

/// Starts of a tail of a stream that may have been trimmed, one for each kind.
fn started_cursors(stream: &StreamModel) -> Vec<TailCursor> {
    let first_request = TailCursor::first_request(EntryId::ZERO, 100);
    let (mut beginning, page) = TailCursor::start(EntryId::ZERO, stream.answer(first_request))
        .unwrap()
        .unwrap();
    pass_on(&mut beginning, &page, &mut Vec::new());
    let InfoReply::Info(info) = stream.answer(TailCursor::first_request(id(1), 1)).info else {
        panic!("it has info");
    };
    let after = |n: u64| TailCursor::after(id(n));
    let mut cursors = vec![beginning, TailCursor::at_end_of(&info)];
    cursors.extend(stream.entries.iter().copied().map(after));
    cursors
}

#[test]
fn removing_only_entries_that_were_read_is_never_a_gap() {
    for seed in 0..20_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut stream = StreamModel::with(1..=random.u64(1..=6));
        stream.trim_before(random.u64(1..=stream.last_generated));
        let starts = started_cursors(&stream);
        let mut cursor = starts[random.usize(..starts.len())].clone();
        let page = random.u64(1..=4);
        let mut log = vec![format!("{stream:?}, pages of {page}, {cursor:?}")];
        read_to_end(&mut cursor, &stream, page);
        for _ in 0..random.usize(1..=6) {
            let position = cursor.position.ms;
            let operation = random.u8(..4);
            match operation {
                0 => stream.delete(position),
                1 => stream.delete(random.u64(1..=position.max(1))),
                2 => stream.trim_before(random.u64(..=position + 1)),
                _ => {
                    for _ in 0..random.u64(1..=6) {
                        stream.add(stream.last_generated + random.u64(1..=2));
                    }
                }
            }
            log.push(format!("{operation} {stream:?}"));
            if random.bool() {
                let seen = read_to_end(&mut cursor, &stream, page);
                let is_gap = |seen: &Seen| matches!(seen, Seen::Gap { .. });
                assert!(!seen.iter().any(is_gap), "seed {seed}: {log:#?} {seen:?}");
            }
        }
    }
}
