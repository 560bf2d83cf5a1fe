//! Another program that writes large entries to Redis directly, past all relays and proxies.

use std::time::Duration;

use fastrand::Rng;
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep, timeout};

use streamgate_protocol::EntryId;

use crate::journal::{Add, EntryTag, Outcome, WriterJournal};
use crate::scenario::{FIELD, HUGE_PADDING, PAUSE, RunContext, STREAMS};

/// Bounds of the pause between two entries in ms: of large ones, and of huge ones.
const LARGE_PAUSE_MS: std::ops::Range<u64> = 100..2_500;
const HUGE_PAUSE_MS: std::ops::Range<u64> = 2_000..12_000;

/// Most huge entries of a writer: every reader's proxy reads all of each from Redis.
const MAX_HUGE: usize = 1;

/// Longest answer of Redis: it may be stopped for longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it tries to get a last add through after all faults.
const FINISH_TIMEOUT: Duration = Duration::from_secs(30);

/// Adds entries with this padding until the run ends, and until the last add is acknowledged.
pub(crate) async fn run(
    redis_url: String,
    context: RunContext,
    mut journal: WriterJournal,
    padding: usize,
    mut rng: Rng,
) -> WriterJournal {
    journal.foreign_padding = Some(padding);
    let is_huge = padding == HUGE_PADDING;
    let mut connection = None;
    let mut end = None;
    loop {
        let pause = rng.u64(if is_huge {
            HUGE_PAUSE_MS
        } else {
            LARGE_PAUSE_MS
        });
        tokio::select! {
            () = sleep(Duration::from_millis(pause)), if context.is_running() => {}
            () = context.stopped() => {}
        }
        if !context.is_running() {
            let end = *end.get_or_insert_with(|| Instant::now() + FINISH_TIMEOUT);
            let last = journal.adds.last().map(|add| &add.outcome);
            if matches!(last, Some(Outcome::Done(_))) || Instant::now() >= end {
                return journal;
            }
        } else if is_huge && journal.adds.len() >= MAX_HUGE {
            continue;
        }
        let add = add(&redis_url, &mut connection, &context, &journal, padding).await;
        if !matches!(add.outcome, Outcome::Done(_)) {
            connection = None;
            sleep(PAUSE).await;
        }
        journal.adds.push(add);
    }
}

async fn add(
    redis_url: &str,
    connection: &mut Option<MultiplexedConnection>,
    context: &RunContext,
    journal: &WriterJournal,
    padding: usize,
) -> Add {
    let started = context.now();
    let number = journal.adds.last().map_or(0, |add| add.number + 1);
    let tag = EntryTag {
        writer: journal.writer,
        number,
    };
    let added = timeout(ANSWER_TIMEOUT, async {
        if connection.is_none() {
            let client = redis::Client::open(redis_url)?;
            let config = redis::AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(None);
            let opened = client.get_multiplexed_async_connection_with_config(&config);
            *connection = Some(opened.await?);
        }
        let mut add = redis::cmd("XADD");
        add.arg(STREAMS[journal.stream].name).arg("*");
        add.arg(FIELD).arg(tag.padded(padding));
        match connection {
            Some(connection) => add.query_async::<String>(connection).await,
            None => Ok(String::new()),
        }
    });
    let outcome = match added.await {
        Ok(Ok(id)) => match EntryId::parse(&id) {
            Ok(id) => Outcome::Done(id),
            Err(_) => Outcome::Refused(format!("ERR a malformed id: {id}")),
        },
        _ => Outcome::Unknown("Redis did not answer another program".to_owned()),
    };
    Add {
        number,
        started,
        ended: context.now(),
        outcome,
    }
}
