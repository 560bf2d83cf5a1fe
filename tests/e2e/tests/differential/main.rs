//! Random operations on `MemoryStreams` and, as commands sent directly, on Redis: the answers
//! must be the same. [`id_texts`] compares how both read ids.
//!
//! `STREAMGATE_SEED` chooses the first sequence and `STREAMGATE_DIFFERENTIAL_ROUNDS` how many
//! there are. A failure prints the seed of its own sequence.
//!
//! Not compared here: keys that hold something else than a stream, because `MemoryStreams` holds
//! nothing else (the conformance suite has that case for Redis); and numbers above 2^63 − 1, which
//! Redis refuses and `MemoryStreams` takes as no limit.

mod generate;
mod id_texts;
mod ids;
mod memory;
mod outcome;
mod redis;
mod tally;

use std::env;

use anyhow::{Context, ensure};
use streamgate_test_support::{RedisServer, RedisVersion};

use crate::generate::{Generator, Step};
use crate::ids::Ids;
use crate::memory::MemorySide;
use crate::redis::RedisSide;
use crate::tally::Tally;

/// Sequences of operations by default: a few seconds.
const ROUNDS: u64 = 300;

/// Steps of a sequence. Fewer entries than the 100 at which `MAXLEN ~` stops trimming when it
/// trims exactly otherwise.
const STEPS: std::ops::Range<usize> = 20..80;

/// Steps shown before the one that differs.
const TAIL: usize = 20;

#[tokio::test]
async fn memory_answers_as_redis_7_0() -> anyhow::Result<()> {
    compare(RedisVersion::V7_0).await
}

#[tokio::test]
async fn memory_answers_as_redis_8_2() -> anyhow::Result<()> {
    compare(RedisVersion::V8_2).await
}

async fn compare(version: RedisVersion) -> anyhow::Result<()> {
    // One entry a node makes `MAXLEN ~` exact, as it is in memory.
    let server = RedisServer::start_with(version, &["--stream-node-max-entries", "1"])?;
    let mut redis = RedisSide::connect(&server.url()).await?;
    let seed = number("STREAMGATE_SEED")?.unwrap_or_else(|| fastrand::u64(..));
    let rounds = number("STREAMGATE_DIFFERENTIAL_ROUNDS")?.unwrap_or(ROUNDS);
    let mut tally = Tally::default();
    for round in 0..rounds {
        let seed = seed.wrapping_add(round);
        run(seed, &mut redis, &mut tally).await.with_context(|| {
            format!("STREAMGATE_SEED={seed} STREAMGATE_DIFFERENTIAL_ROUNDS=1 on {version:?}")
        })?;
    }
    println!("{version:?}, {rounds} sequences from seed {seed}:\n{tally}");
    if rounds >= ROUNDS {
        tally.check()?;
    }
    Ok(())
}

/// One sequence, from empty streams on.
async fn run(seed: u64, redis: &mut RedisSide, tally: &mut Tally) -> anyhow::Result<()> {
    let mut random = fastrand::Rng::with_seed(seed);
    let steps = random.usize(STEPS);
    let mut generator = Generator::new(random);
    let (mut memory, mut memory_ids) = (MemorySide::new(), Ids::default());
    let mut redis_ids = Ids::default();
    redis.clear().await?;
    let mut tail = Vec::new();
    for number in 0..steps {
        let step = generator.step();
        let expected = redis.perform(&step, &mut redis_ids).await?;
        let answered = memory.perform(&step, &mut memory_ids).await?;
        tally.count(&step, &expected);
        tail.push(brief(&step, &format!("{expected:?}")));
        ensure!(
            answered == expected,
            "step {number} differs:\n{}\nRedis:  {}\nmemory: {}",
            tail[tail.len().saturating_sub(TAIL)..].join("\n"),
            cut(&format!("{expected:?}")),
            cut(&format!("{answered:?}")),
        );
    }
    Ok(())
}

fn number(variable: &str) -> anyhow::Result<Option<u64>> {
    match env::var(variable) {
        Ok(text) => Ok(Some(
            text.parse().with_context(|| format!("{variable}={text}"))?,
        )),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn brief(step: &Step, outcome: &str) -> String {
    format!("{}\n    {}", cut(&format!("{step:?}")), cut(outcome))
}

/// As much as helps: some values have 1 MiB.
fn cut(text: &str) -> String {
    const SHOWN: usize = 600;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}
