//! Recoveries: entries that were delivered and did not arrive, and losses that nobody noticed.

use streamgate_protocol::limits::LATE_RECOVERY_MARGIN_MS;
use streamgate_protocol::{Claimed, Skipped};

use super::*;

/// When a late recovery runs, counted from the welcome.
const LATE_MS: u64 = 2 * 1_000 + LATE_RECOVERY_MARGIN_MS;

impl TestEngine {
    fn reply(&mut self, id: u64, reply: Reply) {
        let outcome = Outcome::Ok(reply);
        self.receive(&ServerMessage::Reply { id, outcome });
    }

    fn reply_more(&mut self, id: u64, ids: &[&str]) {
        self.reply(
            id,
            Reply::Entries {
                entries: entries_with_ids(ids),
                last_id: None,
                more: true,
            },
        );
    }

    fn reply_claimed_more(&mut self, id: u64, entry: &str) {
        let mut claimed = Claimed::new("0-0", entries_with_ids(&[entry]), vec![]);
        claimed.more = true;
        self.reply(id, Reply::Claimed(claimed));
    }

    fn reply_too_large(&mut self, id: u64, entry: &str) {
        let mut fault = Fault::from(&CacheError::from_code(code::LIMIT, "too large"));
        fault.entry = Some(entry.to_owned());
        let outcome = Outcome::Error(fault);
        self.receive(&ServerMessage::Reply { id, outcome });
    }

    fn acknowledge(&mut self, id: u64, ids: &[&str]) {
        let ids = ids.iter().map(|id| (*id).to_owned().into()).collect();
        let (stream, group) = ("s".into(), "g".into());
        self.request(id, Operation::Ack { stream, group, ids });
        self.sent();
        self.reply(id, Reply::Acknowledged { count: 1 });
    }

    /// Advances the clock to the late recovery, answers the pings, and returns what is sent then.
    fn advance_to_late_recovery(&mut self) -> Vec<ClientMessage<'static>> {
        let mut sent = Vec::new();
        let end = self.now + LATE_MS;
        while self.now < end {
            assert_eq!(sent, [], "at {}", self.now);
            self.advance(100);
            sent = self.sent().concat();
            sent.retain(|message| !matches!(message, ClientMessage::Ping { .. }));
            self.receive(&ServerMessage::Pong { nonce: 0 });
        }
        sent
    }

    /// Starts a consumer, loses the connection unnoticed, and resumes. Returns the id of the late
    /// recovery, which is in flight.
    fn begin_late_recovery_of_a_consumer(&mut self) -> u64 {
        self.engine.subscribe(1, consume(4), 0);
        self.sent();
        assert_eq!(self.reconnect(), [request(1, recovery(&[], 4))]);
        self.reply_entries(1, &[]);
        assert_eq!(self.sent().concat(), [subscribe(1, consume(4), credit(4))]);
        self.late_recovery(&[], 4)
    }

    /// Starts a group read that waits, loses the connection unnoticed, and resumes. Returns the id of
    /// the late recovery, which is in flight.
    fn begin_late_recovery_of_a_wait(&mut self) -> u64 {
        self.request(1, read_group("c", Some(0)));
        self.sent();
        self.reconnect();
        self.reply_entries(1, &[]);
        self.sent();
        self.late_recovery(&[], 2)
    }

    /// Advances the clock by steps of 100 ms, and answers the pings. Returns the recoveries that are
    /// sent meanwhile.
    fn recoveries_within(&mut self, ms: u64) -> Vec<(u64, Operation<'static>)> {
        let mut recoveries = Vec::new();
        let end = self.now + ms;
        while self.now < end {
            self.advance(100);
            let sent = self.sent().concat().into_iter();
            recoveries.extend(sent.filter_map(|message| match message {
                ClientMessage::Request { id, operation } => {
                    matches!(operation, Operation::ReadPending { .. }).then_some((id, operation))
                }
                _ => None,
            }));
            self.receive(&ServerMessage::Pong { nonce: 0 });
        }
        recoveries
    }

    /// Returns the id of the recovery that is due at the end of all earlier sessions.
    fn late_recovery(&mut self, except: &[&str], count: u64) -> u64 {
        match &self.advance_to_late_recovery()[..] {
            [ClientMessage::Request { id, operation }] => {
                assert_eq!(*operation, recovery(except, count));
                *id
            }
            other => panic!("{other:?}"),
        }
    }

    /// Returns the id of the recovery that is sent now.
    fn next_recovery(&mut self, except: &[&str], count: u64) -> u64 {
        match &self.sent().concat()[..] {
            [ClientMessage::Request { id, operation }] => {
                assert_eq!(*operation, recovery(except, count));
                *id
            }
            other => panic!("{other:?}"),
        }
    }

    fn pushed_ids(&self) -> Vec<&str> {
        let items = self.pushed.iter().map(|(_, item)| item);
        let ids = items.flat_map(|item| match item {
            Item::Entries { entries, .. } => {
                entries.iter().map(|entry| entry.id.as_str()).collect()
            }
            Item::Skipped(skipped) => vec![skipped.id.as_str()],
            other => panic!("{other:?}"),
        });
        ids.collect()
    }
}

fn claim() -> Operation<'static> {
    Operation::Claim {
        stream: "s".into(),
        group: "g".into(),
        consumer: "c".into(),
        min_idle_ms: 1,
        start: "0-0".into(),
        count: 9,
    }
}

/// The old server delivered to the lost connection until it missed two heartbeats.
#[test]
fn a_consumer_receives_what_an_earlier_session_took_unnoticed() {
    let mut test = TestEngine::open();
    let late = test.begin_late_recovery_of_a_consumer();
    test.reply_entries(late, &["1-0", "2-0"]);
    assert_eq!(test.pushed_ids(), ["1-0", "2-0"]);
    let next = test.next_recovery(&["1-0", "2-0"], 2);
    test.reply_entries(next, &[]);
    assert_eq!(test.sent().concat(), []);
    assert_eq!(test.codes(), [], "a recovery has no owner");
}

#[test]
fn a_late_recovery_waits_for_room_in_the_window() {
    let mut test = TestEngine::open();
    let late = test.begin_late_recovery_of_a_consumer();
    test.reply_entries(late, &["1-0", "2-0", "3-0", "4-0"]);
    assert_eq!(test.sent().concat(), []);
    let (entries, bytes) = (2, 6);
    test.engine.consumed(1, Credit { entries, bytes });
    let except = &["1-0", "2-0", "3-0", "4-0"];
    let sent = test.sent().concat();
    assert!(
        sent.iter().any(
            |message| matches!(message, ClientMessage::Request { operation, .. }
            if *operation == recovery(except, 2))
        ),
        "{sent:?}"
    );
}

#[test]
fn a_connection_that_the_server_closed_needs_no_late_recovery() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, consume(4), 0);
    test.sent();
    test.lose_connection(1001);
    test.advance_until_connect();
    test.accept();
    assert_eq!(test.sent().concat(), [request(1, recovery(&[], 4))]);
    test.reply_entries(1, &[]);
    test.sent();
    assert_eq!(test.advance_to_late_recovery(), []);
}

#[test]
fn another_loss_postpones_a_late_recovery() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, consume(4), 0);
    test.sent();
    test.reconnect();
    test.advance(1_000);
    test.lose_connection(1001);
    test.advance_until_connect();
    test.accept();
    test.sent();
    test.reply_entries(1, &[]);
    test.sent();
    test.late_recovery(&[], 4);
}

#[test]
fn a_push_that_a_recovery_overtook_is_not_delivered_twice() {
    let mut test = TestEngine::open();
    let late = test.begin_late_recovery_of_a_consumer();
    test.reply_entries(late, &["1-0", "2-0"]);
    test.push_entries(1, &["2-0", "3-0"], None);
    test.push_entries(1, &["1-0"], None);
    assert_eq!(test.pushed_ids(), ["1-0", "2-0", "3-0"]);
    let (entries, bytes) = (3, 9);
    test.engine.consumed(1, Credit { entries, bytes });
    let sent = test.sent().concat();
    let credit = credit(3).entries;
    let is_grant = |message: &ClientMessage<'_>| matches!(message, ClientMessage::Grant { credit: granted, .. } if granted.entries == credit);
    assert!(sent.iter().any(is_grant), "all that was pushed: {sent:?}");
}

#[test]
fn a_push_that_overtook_a_recovery_is_not_delivered_twice() {
    let mut test = TestEngine::open();
    let late = test.begin_late_recovery_of_a_consumer();
    test.push_entries(1, &["2-0"], None);
    // The server found the entry before it was acknowledged.
    test.acknowledge(9, &["2-0"]);
    test.reply_entries(late, &["1-0", "2-0"]);
    assert_eq!(test.pushed_ids(), ["2-0", "1-0"]);
}

/// The server took two entries more than the credit in bytes lets it push, and pushes them when the
/// owner has taken the others, ten seconds later.
#[test]
fn a_push_that_waited_for_credit_is_not_delivered_twice() {
    let mut test = TestEngine::open();
    let late = test.begin_late_recovery_of_a_consumer();
    test.push_entries(1, &["1-0", "2-0"], None);
    test.reply_entries(late, &["3-0", "4-0"]);
    assert_eq!(test.pushed_ids(), ["1-0", "2-0", "3-0", "4-0"]);
    assert_eq!(test.recoveries_within(10_000), []);
    test.acknowledge(9, &["1-0", "2-0", "3-0"]);
    let (entries, bytes) = (4, 12);
    test.engine.consumed(1, Credit { entries, bytes });
    test.sent();
    test.push_entries(1, &["3-0", "4-0"], None);
    assert_eq!(test.pushed_ids(), ["1-0", "2-0", "3-0", "4-0"]);
}

#[test]
fn a_wait_receives_what_an_earlier_session_took_unnoticed() {
    let mut test = TestEngine::open();
    let late = test.begin_late_recovery_of_a_wait();
    test.reply_entries(late, &["1-0"]);
    assert_eq!(test.ids_of_reply(1), ["1-0"]);
    assert_eq!(test.sent().concat(), [ClientMessage::Cancel { id: 1 }]);
    // The answer to the wait was on its way; what it delivered is found again.
    test.reply_entries(1, &["2-0"]);
    test.request(2, read_group("c", Some(0)));
    let next = test.next_recovery(&["1-0"], 2);
    assert_eq!(next, 2);
    test.reply_entries(2, &["2-0"]);
    assert_eq!(test.ids_of_reply(2), ["2-0"]);
}

#[test]
fn a_wait_that_is_answered_during_a_late_recovery_receives_nothing_twice() {
    let mut test = TestEngine::open();
    let late = test.begin_late_recovery_of_a_wait();
    test.reply_entries(1, &["2-0"]);
    test.reply_entries(late, &["1-0", "2-0"]);
    assert_eq!(test.ids_of_reply(1), ["2-0"]);
    test.request(2, read_group("c", None));
    assert_eq!(test.next_recovery(&["2-0"], 2), 2);
    test.reply_entries(2, &["1-0"]);
    assert_eq!(test.ids_of_reply(2), ["1-0"]);
}

#[test]
fn a_consumer_that_is_not_used_recovers_late_with_its_next_read() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", Some(0)));
    test.sent();
    test.reconnect();
    test.engine.cancel(1);
    test.sent();
    assert_eq!(test.advance_to_late_recovery(), []);
    test.request(2, read_group("c", None));
    assert_eq!(test.next_recovery(&[], 2), 2);
}

#[test]
fn a_late_recovery_that_fails_is_left_to_the_next_read() {
    let mut test = TestEngine::open();
    let late = test.begin_late_recovery_of_a_consumer();
    let outcome = Outcome::Error(Fault::from(&CacheError::from_code("NOGROUP", "why")));
    test.receive(&ServerMessage::Reply { id: late, outcome });
    assert_eq!(test.codes(), []);
    test.request(2, read_group("c", None));
    assert_eq!(test.next_recovery(&[], 2), 2);
}

/// It lies before the last entry that arrived.
#[test]
fn a_reclaimed_entry_whose_push_was_lost_is_recovered() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, consume(4), 0);
    test.sent();
    test.push_entries(1, &["5-0"], None);
    assert_eq!(test.reconnect(), [request(1, recovery(&["5-0"], 3))]);
    test.reply_entries(1, &["2-0"]);
    assert_eq!(test.pushed_ids(), ["5-0", "2-0"]);
}

#[test]
fn acknowledged_entries_are_not_listed_in_a_recovery() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", None));
    test.sent();
    test.reply_entries(1, &["1-0", "2-0"]);
    test.acknowledge(2, &["1-0"]);
    test.request(3, read_group("c", Some(0)));
    test.sent();
    assert_eq!(test.reconnect(), [request(3, recovery(&["2-0"], 2))]);
}

#[test]
fn entries_that_did_not_fit_into_a_reply_are_read_before_the_next_ones() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", None));
    test.sent();
    test.reply_more(1, &["1-0"]);
    test.request(2, read_group("c", None));
    assert_eq!(test.next_recovery(&["1-0"], 2), 2);
    test.reply_more(2, &["2-0"]);
    assert_eq!(test.ids_of_reply(2), ["2-0"]);
    test.request(3, read_group("c", None));
    assert_eq!(test.next_recovery(&["1-0", "2-0"], 2), 3);
    test.reply_entries(3, &[]);
    assert_eq!(test.sent().concat(), [request(3, read_group("c", None))]);
}

#[test]
fn claimed_entries_that_did_not_fit_into_a_reply_are_read_next() {
    let mut test = TestEngine::open();
    test.request(1, claim());
    test.sent();
    test.reply_claimed_more(1, "1-0");
    test.request(2, read_group("c", None));
    assert_eq!(test.next_recovery(&["1-0"], 2), 2);
}

#[test]
fn an_entry_that_is_too_large_for_a_group_read_hides_none_after_it() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", None));
    test.sent();
    test.reply_too_large(1, "1-0");
    assert_eq!(test.codes(), [(1, "LIMIT")]);
    test.request(2, read_group("c", None));
    assert_eq!(test.next_recovery(&["1-0"], 2), 2);
    test.reply_entries(2, &["2-0"]);
    assert_eq!(test.ids_of_reply(2), ["2-0"]);
}

#[test]
fn an_entry_that_is_too_large_for_a_recovery_is_skipped() {
    let mut test = TestEngine::open();
    let late = test.begin_late_recovery_of_a_consumer();
    test.reply_too_large(late, "1-0");
    let skipped = Item::Skipped(Skipped::new("1-0", 0));
    assert_eq!(test.pushed, [(1, skipped.clone())]);
    let next = test.next_recovery(&["1-0"], 3);
    // The server pushed it meanwhile.
    test.receive(&ServerMessage::Push {
        id: 1,
        item: skipped,
    });
    test.reply_entries(next, &["2-0"]);
    assert_eq!(test.pushed_ids(), ["1-0", "2-0"]);

    test.reconnect();
    test.reply_too_large(1, "3-0");
    assert_eq!(test.pushed_ids(), ["1-0", "2-0", "3-0"]);
    let except = &["1-0", "2-0", "3-0"];
    assert_eq!(test.next_recovery(except, 1), 1);
}

/// No more requests may be in flight when it is due, in a client that is older than the time-out.
#[test]
fn a_late_recovery_waits_for_a_busy_server() {
    let mut test = TestEngine::open();
    for _ in 0..400 {
        test.advance(100);
        test.sent();
        test.receive(&ServerMessage::Pong { nonce: 0 });
    }
    test.engine.subscribe(1, consume(4), test.now);
    test.sent();
    assert_eq!(test.reconnect(), [request(1, recovery(&[], 4))]);
    test.reply_entries(1, &[]);
    test.sent();
    for id in 10..1_009 {
        test.request(id, read());
    }
    test.sent();
    assert_eq!(test.recoveries_within(40_000), []);
    test.reply_done(10);
    test.next_recovery(&[], 4);
}

#[test]
fn a_late_recovery_outlasts_a_backend_that_is_unavailable_for_long() {
    let mut test = TestEngine::open();
    let mut late = test.begin_late_recovery_of_a_consumer();
    let end = test.now + 120_000;
    while test.now < end {
        test.reply_error(late, "DISCONNECTED");
        let again = test.recoveries_within(6_000);
        assert_eq!(again.len(), 1, "at {}", test.now);
        late = again[0].0;
    }
    test.reply_entries(late, &["1-0"]);
    assert_eq!(test.pushed_ids(), ["1-0"]);
    assert_eq!(test.codes(), []);
}

/// Only one waits for the end of the pause.
#[test]
fn a_late_recovery_that_is_paused_is_not_begun_again() {
    let mut test = TestEngine::open();
    let late = test.begin_late_recovery_of_a_consumer();
    test.reply_error(late, "DISCONNECTED");
    for (id, entry) in [(5, "5-0"), (6, "6-0")] {
        test.request(id, claim());
        test.sent();
        test.reply_claimed_more(id, entry);
        assert_eq!(test.sent().concat(), []);
    }
    let again = test.recoveries_within(6_000);
    assert_eq!(again, [(late, recovery(&["5-0", "6-0"], 4))]);
}

/// The recovery looked before the claim.
#[test]
fn what_did_not_fit_into_a_claim_during_a_recovery_is_recovered_next() {
    let mut test = TestEngine::open();
    test.request(1, read_group("c", None));
    test.sent();
    test.reply_more(1, &["1-0"]);
    test.request(2, read_group("c", None));
    assert_eq!(test.next_recovery(&["1-0"], 2), 2);
    test.request(3, claim());
    test.sent();
    test.reply_claimed_more(3, "5-0");
    test.reply_entries(2, &[]);
    assert_eq!(test.next_recovery(&["1-0", "5-0"], 2), 2);
}

#[test]
fn a_late_recovery_that_is_due_during_another_one_runs_after_it() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, consume(4), 0);
    test.sent();
    assert_eq!(test.reconnect(), [request(1, recovery(&[], 4))]);
    assert_eq!(test.recoveries_within(LATE_MS + 100), []);
    test.reply_entries(1, &[]);
    test.next_recovery(&[], 4);
}

#[test]
fn the_entries_of_a_lost_claim_are_read_next() {
    let mut test = TestEngine::open();
    test.request(1, claim());
    test.sent();
    assert_eq!(test.reconnect(), []);
    assert_eq!(test.codes(), [(1, "UNKNOWN_OUTCOME")]);
    test.request(2, read_group("c", None));
    assert_eq!(test.next_recovery(&[], 2), 2);
    test.reply_entries(2, &[]);
    test.sent();
    test.reply_entries(2, &[]);
    // The server did not notice the loss, and may have performed the claim later.
    assert_eq!(test.advance_to_late_recovery(), []);
    test.request(3, read_group("c", None));
    assert_eq!(test.next_recovery(&[], 2), 3);
}

#[test]
fn the_entries_of_a_claim_whose_outcome_is_unknown_reach_a_consume_loop() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, consume(4), 0);
    test.request(2, claim());
    test.request(3, claim());
    test.sent();
    test.reply_error(2, "DISCONNECTED");
    assert_eq!(test.sent().concat(), [], "it was not performed");
    test.reply_error(3, "UNKNOWN_OUTCOME");
    assert_eq!(test.codes(), [(2, "DISCONNECTED"), (3, "UNKNOWN_OUTCOME")]);
    test.next_recovery(&[], 4);
}

/// The recovery looked after the claim, and its reply overtook the claim's.
#[test]
fn an_entry_that_a_recovery_found_during_a_claim_is_not_delivered_twice() {
    let mut test = TestEngine::open();
    let late = test.begin_late_recovery_of_a_consumer();
    test.reply_entries(late, &["1-0"]);
    let late = test.next_recovery(&["1-0"], 3);
    test.advance(1);
    test.request(2, claim());
    test.sent();
    test.reply_entries(late, &["2-0"]);
    let claimed = Claimed::new("0-0", entries_with_ids(&["1-0", "2-0", "3-0"]), vec![]);
    test.reply(2, Reply::Claimed(claimed));
    assert_eq!(test.pushed_ids(), ["1-0", "2-0"]);
    // The owner wants the first one again.
    let claimed = Claimed::new("0-0", entries_with_ids(&["1-0", "3-0"]), vec![]);
    assert_eq!(test.finished, [(2, Ok(Reply::Claimed(claimed)))]);
}

/// Nobody reads the group again.
#[test]
fn what_did_not_fit_into_a_claim_reaches_a_consume_loop() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, consume(4), 0);
    test.sent();
    test.request(2, claim());
    test.sent();
    test.reply_claimed_more(2, "5-0");
    let next = test.next_recovery(&["5-0"], 4);
    test.reply_entries(next, &["6-0"]);
    assert_eq!(test.pushed_ids(), ["6-0"]);
}

#[test]
fn what_did_not_fit_into_a_group_read_reaches_a_consume_loop() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, consume(4), 0);
    test.request(2, read_group("c", None));
    test.sent();
    test.reply_more(2, &["1-0"]);
    let next = test.next_recovery(&["1-0"], 4);
    test.reply_entries(next, &[]);
    // What a read's own recovery leaves behind does too.
    test.request(3, read_group("c", None));
    test.sent();
    test.lose_connection(1001);
    test.advance_until_connect();
    test.accept();
    assert_eq!(test.next_recovery(&["1-0"], 4), 1);
    test.reply_entries(1, &[]);
    test.sent();
    test.reply_entries(3, &["2-0"]);
    let next = test.next_recovery(&["1-0", "2-0"], 4);
    test.reply_entries(next, &["3-0"]);
    assert_eq!(test.pushed_ids(), ["3-0"]);
}

#[test]
fn a_recovery_that_is_cancelled_goes_on_for_a_consume_loop() {
    let mut test = TestEngine::open();
    test.engine.subscribe(1, consume(4), 0);
    test.request(2, read_group("c", Some(0)));
    test.sent();
    test.reply_error(2, "UNKNOWN_OUTCOME");
    let recoveries = test.recoveries_within(500);
    assert_eq!(recoveries, [(2, recovery(&[], 2))]);
    test.engine.cancel(2);
    let sent = test.sent().concat();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(sent[0], ClientMessage::Cancel { id: 2 });
    assert!(matches!(&sent[1], ClientMessage::Request { operation, .. }
        if *operation == recovery(&[], 4)));
}

/// The owner of the wait has to hear of the entry, and the ones after it are not hidden.
#[test]
fn an_entry_that_is_too_large_for_a_late_recovery_ends_the_wait() {
    let mut test = TestEngine::open();
    let late = test.begin_late_recovery_of_a_wait();
    test.reply_too_large(late, "1-0");
    assert_eq!(test.codes(), [(1, "LIMIT")]);
    assert_eq!(test.sent().concat(), [ClientMessage::Cancel { id: 1 }]);
    test.request(2, read_group("c", None));
    assert_eq!(test.next_recovery(&["1-0"], 2), 2);
    test.reply_entries(2, &["2-0"]);
    assert_eq!(test.ids_of_reply(2), ["2-0"]);
}

/// A consumer that creates its group.
fn consume_from(create_from: &str, position: Option<&str>) -> Subscription<'static> {
    let mut subscription = consume(4);
    if let Subscription::Consume {
        create_from: from,
        position: at,
        ..
    } = &mut subscription
    {
        *from = Some(create_from.to_owned().into());
        *at = position.map(|id| id.to_owned().into());
    }
    subscription
}

impl TestEngine {
    /// Starts a consumer at `$`, whose group was created after this id.
    fn begin_at_dollar(&mut self, position: &str) {
        self.engine.subscribe(1, consume_from("$", None), 0);
        self.sent();
        self.push_entries(1, &[], Some(position));
    }

    /// Reconnects, fails the recovery with `NOGROUP`, and returns how the consumer resumes.
    fn resume_without_group(&mut self, except: &[&str]) -> Vec<ClientMessage<'static>> {
        let room = 4 - self.pushed_ids().len() as u64;
        assert_eq!(self.reconnect(), [request(1, recovery(except, room))]);
        self.reply_error(1, "NOGROUP");
        assert_eq!(self.codes(), []);
        self.sent().concat()
    }
}

#[test]
fn a_consumer_that_creates_its_group_goes_on_if_the_recovery_finds_none() {
    for create_from in ["0-0", "$"] {
        let mut test = TestEngine::open();
        test.engine.subscribe(1, consume_from(create_from, None), 0);
        test.sent();
        let resumed = subscribe(1, consume_from(create_from, None), credit(4));
        assert_eq!(test.resume_without_group(&[]), [resumed]);
        // The next recovery has nothing to leave out.
        assert_eq!(test.reconnect(), [request(1, recovery(&[], 4))]);
    }
}

#[test]
fn a_consumer_from_dollar_resumes_where_it_began_or_after_the_last_entry() {
    let mut test = TestEngine::open();
    test.begin_at_dollar("5-0");
    let resumed = |id, room| subscribe(1, consume_from("$", Some(id)), credit_of(room));
    assert_eq!(test.resume_without_group(&[]), [resumed("5-0", 4)]);
    test.push_entries(1, &["6-0"], None);
    // It was reclaimed, and does not move the position.
    test.push_entries(1, &["3-0"], Some("6-0"));
    let except = ["3-0", "6-0"];
    assert_eq!(test.resume_without_group(&except), [resumed("6-0", 2)]);
    assert_eq!(test.pushed_ids(), ["6-0", "3-0"]);
}

#[test]
fn a_consumer_from_dollar_resumes_after_what_a_recovery_found() {
    let mut test = TestEngine::open();
    test.begin_at_dollar("5-0");
    assert_eq!(test.reconnect(), [request(1, recovery(&[], 4))]);
    test.reply_entries(1, &["6-0"]);
    assert_eq!(test.sent().concat(), [request(1, recovery(&["6-0"], 3))]);
    test.reply_error(1, "NOGROUP");
    let resumed = subscribe(1, consume_from("$", Some("6-0")), credit_of(3));
    assert_eq!(test.sent().concat(), [resumed]);
}

/// The new stream's ids are smaller.
#[test]
fn a_consumer_forgets_the_old_group_where_the_server_created_it_again() {
    let mut test = TestEngine::open();
    test.begin_at_dollar("5-0");
    test.push_entries(1, &["6-0"], None);
    test.push_entries(1, &[], Some("0-0"));
    test.push_entries(1, &["1-0"], None);
    assert_eq!(test.reconnect(), [request(1, recovery(&["1-0"], 2))]);
    test.reply_entries(1, &[]);
    let resumed = subscribe(1, consume_from("$", Some("1-0")), credit_of(2));
    assert_eq!(test.sent().concat(), [resumed]);
    assert_eq!(test.pushed_ids(), ["6-0", "1-0"]);
}

#[test]
fn a_position_of_a_consumer_that_has_none_is_a_violation() {
    for create_from in [None, Some("5-0")] {
        for ids in [&[][..], &["6-0"]] {
            let mut test = TestEngine::open();
            let subscription = create_from.map_or(consume(4), |id| consume_from(id, None));
            test.engine.subscribe(1, subscription, 0);
            test.sent();
            test.push_entries(1, ids, Some("5-0"));
            assert_eq!(test.codes(), [(1, "UNKNOWN_OUTCOME")]);
        }
    }
}

/// The bytes of the entries that are not taken are not granted again.
fn credit_of(entries: u64) -> Credit {
    Credit {
        bytes: credit(4).bytes - (4 - entries) * 3,
        ..credit(entries)
    }
}
