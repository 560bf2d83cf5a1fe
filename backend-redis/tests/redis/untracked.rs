//! Where Redis refuses `CLIENT TRACKING`, everything is the same but for what it costs: a
//! connection for every 256 streams, and up to two seconds until a deletion is known.

use futures_util::future::join_all;
use streamgate_backend::{Backend, Progress};
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, entries, read, soon, timed, values};

/// More than one connection blocks for.
const STREAMS: usize = 300;

#[tokio::test]
async fn reads_block_on_a_connection_for_every_256_streams() {
    for version in RedisVersion::ALL {
        for more in ["", " -client|unblock", " -client|id"] {
            let bob = format!("--user bob on nopass ~* &* +@all -client|tracking{more}");
            let fixture = Fixture::as_bob(version, &bob).await;
            let names: Vec<String> = (0..STREAMS).map(|n| format!("stream-{n}")).collect();
            let reads = names.iter().map(|name| read(name, "$", 1, Some(0)));
            let waiting = fixture.streams.perform(reads.collect()).await;
            // Each end is found by a read of its own.
            soon(async { while fixture.connections().await < 4 {} }).await;
            assert_eq!(fixture.connections().await, 4);
            for name in &names {
                fixture.add(name, "mine").await;
            }
            for result in soon(join_all(waiting.into_iter().map(Progress::finish))).await {
                assert_eq!(values(&entries(result).0), ["mine"]);
            }
        }
    }
}

/// A read that blocks for long would be over only then.
#[tokio::test]
async fn where_reads_cannot_be_unblocked_none_blocks_for_long() {
    let bob = "--user bob on nopass ~* &* +@all -client|tracking -client|unblock";
    let fixture = Fixture::as_bob(RedisVersion::V8_2, bob).await;
    let _first = fixture.start_read("first", "$", 0).await;
    let blocks = async || {
        fixture
            .ask::<String>("CLIENT LIST")
            .await
            .unwrap()
            .contains("flags=b")
    };
    soon(async { while !blocks().await {} }).await;
    let second = fixture.start_read("second", "$", 0).await;
    // Ends once the hub has looked at all that came before it.
    let looked = fixture.start_read("third", "$", 200).await;
    looked.finish().await.unwrap();
    fixture.add("second", "soon").await;
    let (result, ms) = timed(soon(second.finish())).await;
    assert_eq!(values(&entries(result).0), ["soon"]);
    assert!(ms < 5_000, "{ms}");
}

/// Runs tests of other files on servers that refuse.
macro_rules! the_same {
    ($($file:ident: $($test:ident),+;)+) => {
        $(mod $file {
            $(
                #[test]
                fn $test() {
                    crate::fixture::UNTRACKED.set(true);
                    crate::$file::$test();
                }
            )+
        })+
    };
}

the_same! {
    faults:
        readers_wait_through_a_restart_of_redis,
        while_redis_is_away_nothing_is_done_and_the_caller_is_told,
        a_killed_connection_is_replaced_and_nothing_is_missed,
        a_redis_that_hangs_is_noticed_and_waits_outlive_it,
        a_wait_goes_on_while_redis_says_that_it_cannot_answer;
    gaps:
        a_tail_that_resumes_where_entries_were_trimmed_is_told,
        a_deleted_entry_is_no_gap,
        a_stream_trimmed_to_nothing_under_a_live_tail_is_no_gap_until_something_is_missing,
        a_stream_of_one_entry_at_a_time_has_no_gaps,
        who_has_read_all_there_is_misses_nothing_when_it_is_trimmed,
        a_stream_that_is_deleted_or_made_anew_under_a_live_tail_is_told,
        who_finds_a_gap_by_itself_is_not_told_of_it_again,
        the_last_entries_never_begin_with_a_gap,
        a_key_of_another_type_ends_a_live_tail,
        the_position_of_a_gap_without_a_first_entry_is_no_gap;
    groups:
        waiting_consumers_are_served_in_the_order_they_came,
        nobody_overtakes_a_consumer_of_the_same_list,
        a_try_finds_nothing_at_most_once_for_each_entry,
        a_consumer_that_left_is_handed_nothing,
        an_idle_wait_ends_empty_after_its_time,
        a_group_that_is_destroyed_ends_its_waits,
        a_group_that_is_set_back_is_read_again,
        readers_and_groups_of_one_stream_are_served_side_by_side,
        short_waits_lose_nothing;
    slow_followers:
        without_room_only_the_first_item_comes_and_it_has_no_entries,
        room_that_goes_before_entries_come_leaves_a_first_item_without,
        no_more_comes_than_there_is_room_for_from_the_backlog_and_live,
        segments_are_shared_by_all_who_have_room,
        one_that_is_not_polled_loses_nothing_and_delays_nobody,
        tails_that_are_left_alone_while_they_read_hold_up_nobody,
        an_error_comes_without_room_too;
    tail_load:
        fifty_followers_of_a_busy_stream_see_every_entry_once_and_in_order,
        fifty_followers_of_a_busy_stream_that_is_trimmed_are_told_what_they_miss;
    tails:
        a_tail_from_the_beginning_gives_the_backlog_then_what_is_added,
        the_first_item_says_where_a_tail_stands,
        the_last_entries_are_counted_backwards,
        now_is_when_a_tail_is_first_polled,
        a_tail_resumes_behind_its_position,
        what_cannot_be_followed_is_refused,
        a_live_tail_outlives_its_connections_and_a_dropped_one_leaves_nothing,
        while_redis_is_away_a_tail_that_begins_is_told_and_one_that_lives_goes_on,
        consumers_share_a_groups_entries;
    waits:
        an_idle_wait_ends_empty_after_its_time,
        an_add_beside_a_blocked_read_is_not_delayed,
        the_last_id_misses_nothing_that_is_added_behind_it,
        an_empty_answer_names_the_id_to_read_on_from,
        waits_without_a_limit_are_ended_by_an_entry,
        each_reader_gets_what_comes_after_its_own_id_up_to_its_count,
        a_stream_may_be_deleted_and_come_back_under_a_reader,
        a_dropped_read_is_forgotten,
        a_waiting_reader_gets_what_is_not_utf8,
        a_reader_that_reads_on_sees_every_entry_once;
}
