//! A Redis that refuses `CLIENT TRACKING`: everything works, at a higher cost. Streams are polled ten
//! times a second, and it takes up to two seconds until a deletion is noticed.

use futures_util::future::join_all;
use streamgate_backend::{Backend, PerformOptions, Progress};
use streamgate_test_support::RedisVersion;

use crate::fixture::{Fixture, entries, read, values, within_limit};

/// More streams than one pipeline polls.
const STREAMS: usize = 300;

#[tokio::test]
async fn any_number_of_streams_is_polled_on_the_one_connection() {
    for version in RedisVersion::ALL {
        for refused in ["-client|tracking", "-client|caching", "-client"] {
            let fixture = Fixture::refusing(version, refused).await;
            let names: Vec<String> = (0..STREAMS).map(|n| format!("stream-{n}")).collect();
            let reads = names.iter().map(|name| read(name, "$", 1, Some(0)));
            let waiting = fixture
                .streams
                .perform(reads.collect(), PerformOptions::default())
                .await;
            assert_eq!(fixture.connections().await, 1);
            for name in &names {
                fixture.add(name, "mine").await;
            }
            for result in within_limit(join_all(waiting.into_iter().map(Progress::finish))).await {
                assert_eq!(values(&entries(result).0), ["mine"]);
            }
            assert_eq!(fixture.connections().await, 1);
        }
    }
}

/// Runs tests of other files on servers that refuse it.
macro_rules! run_untracked {
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

run_untracked! {
    connection_loss:
        readers_wait_through_a_restart_of_redis,
        calls_fail_at_once_while_redis_is_down,
        a_killed_connection_is_replaced_and_nothing_is_missed,
        a_hanging_redis_is_noticed_and_waits_survive,
        a_group_wait_survives_a_redis_that_refuses_writes;
    gaps:
        an_emptied_stream_is_a_gap_only_if_entries_were_missed,
        a_tail_that_read_everything_sees_no_gap_when_the_stream_is_trimmed,
        a_deleted_or_recreated_stream_is_reported_to_a_live_tail,
        a_gap_found_in_the_backlog_is_not_reported_again_by_the_feed,
        a_tail_of_the_last_entries_never_begins_with_a_gap;
    groups:
        consumers_of_one_batch_are_served_in_order,
        each_entry_costs_at_most_one_empty_group_read,
        a_destroyed_group_ends_its_waits,
        a_group_whose_position_is_set_back_is_read_again,
        short_waits_lose_nothing;
    slow_tails:
        without_credit_a_tail_yields_only_its_position,
        credit_that_vanishes_before_the_entries_arrive_leaves_the_position,
        backlog_and_live_entries_stay_within_the_credit,
        tails_with_credit_share_segments,
        tails_that_are_not_polled_while_they_read_delay_nobody,
        an_error_needs_no_credit;
    tail_load:
        fifty_tails_of_a_busy_stream_see_every_entry_once_and_in_order,
        fifty_tails_of_a_busy_trimmed_stream_report_what_they_miss;
    tails:
        the_first_item_names_the_position_of_a_tail,
        the_last_entries_are_found_backwards_page_by_page,
        a_live_tail_survives_lost_connections_and_a_dropped_one_leaves_nothing,
        while_redis_is_down_a_new_tail_fails_and_a_live_one_survives;
    waits:
        an_empty_reply_names_the_id_to_read_on_from,
        readers_of_one_stream_have_their_own_ids_and_counts,
        a_reader_survives_the_deletion_of_its_stream,
        a_dropped_read_is_forgotten,
        readers_in_a_loop_see_every_entry_once;
}
