//! Random texts as ids: one that streamgate takes means the same to Redis, and one that it refuses
//! is refused by Redis too, or has a sign, a blank or a NUL byte.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use fastrand::Rng;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult, Value, cmd};
use streamgate_protocol::EntryId;
use streamgate_test_support::{RedisServer, RedisVersion};

use crate::generate::{IDS, random_id_text};
use crate::number;

/// Texts by default: a second.
const TEXTS: usize = 4_000;

#[tokio::test]
async fn ids_mean_the_same_to_redis_7_0() -> anyhow::Result<()> {
    compare(RedisVersion::V7_0).await
}

#[tokio::test]
async fn ids_mean_the_same_to_redis_8_2() -> anyhow::Result<()> {
    compare(RedisVersion::V8_2).await
}

async fn compare(version: RedisVersion) -> anyhow::Result<()> {
    let server = RedisServer::start(version)?;
    let client = Client::open(server.url())?;
    // A busy machine is no failure.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let mut redis = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let seed = number("STREAMGATE_SEED")?.unwrap_or_else(|| fastrand::u64(..));
    let mut random = Rng::with_seed(seed);
    let listed = IDS.iter().map(|text| (*text).to_owned());
    let generated = (0..TEXTS).map(|_| random_id_text(&mut random));
    let (mut taken, mut refused, mut refused_here_only) = (0, 0, 0);
    for text in listed.chain(generated).filter(|text| text != "$") {
        let meant = meant_by_redis(&mut redis, &text)
            .await
            .with_context(|| format!("{text:?}, STREAMGATE_SEED={seed} on {version:?}"))?;
        match (EntryId::parse(&text), meant) {
            (Ok(id), Some(meant)) if id.to_string() == meant => taken += 1,
            (Err(_), None) => refused += 1,
            (Err(_), Some(_)) if is_lax(&text) => refused_here_only += 1,
            (parsed, meant) => anyhow::bail!(
                "{text:?} is {parsed:?} here and {meant:?} in {version:?}; STREAMGATE_SEED={seed}"
            ),
        }
    }
    ensure!(
        taken > 100 && refused > 100 && refused_here_only > 100,
        "{taken} taken, {refused} refused, {refused_here_only} refused here only"
    );
    Ok(())
}

/// Returns the id that Redis reads in a text, or `None` if Redis refuses it.
async fn meant_by_redis(
    redis: &mut MultiplexedConnection,
    text: &str,
) -> anyhow::Result<Option<String>> {
    cmd("DEL").arg("s").exec_async(redis).await?;
    let create = cmd("XGROUP")
        .arg(&["CREATE", "s", "g", text, "MKSTREAM"])
        .to_owned();
    let created: RedisResult<Value> = create.query_async(redis).await;
    match created {
        Ok(_) => {}
        Err(error) if error.code() == Some("ERR") => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let info = cmd("XINFO").arg(&["GROUPS", "s"]).to_owned();
    let [group]: [HashMap<String, Value>; 1] = info.query_async(redis).await?;
    let last = group.get("last-delivered-id").context("no last id")?;
    Ok(Some(redis::from_redis_value(last.clone())?))
}

/// Whether C's `strtoull` may read what is no plain number.
fn is_lax(text: &str) -> bool {
    text.contains(['+', ' ', '\t', '\0']) || text.contains("--")
}
