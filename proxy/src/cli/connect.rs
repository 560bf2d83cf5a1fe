//! The backend that the server stands in front of: Redis, or the memory of this process.

use std::sync::Arc;
use std::time::Duration;

use streamgate_backend::{Backend, MemoryBudget};
use streamgate_memory::MemoryStreams;
use streamgate_protocol::error::code::DISCONNECTED;
use streamgate_protocol::{CacheError, CacheResult, Retry};
use streamgate_redis::{RedisStreams, without_secrets};

use super::CommandError;
use super::args::{RedisUrl, ServeArgs};

/// Longest time of one attempt to connect to Redis: whoever starts the command waits for its ready
/// line.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause before the next attempt while Redis loads its data.
const LOADING_PAUSE: Duration = Duration::from_secs(1);

/// Connects to Redis, or creates an empty backend in memory. Returns also a name for it, without
/// secrets.
pub(super) async fn connect(
    args: &ServeArgs,
    budget: &MemoryBudget,
) -> Result<(Arc<dyn Backend>, String), CommandError> {
    let Some(url) = redis_url(args)? else {
        let memory = MemoryStreams::builder()
            .capacity_bytes(args.memory_bytes)
            .memory_budget(budget.clone());
        return Ok((Arc::new(memory.build()), "memory".to_owned()));
    };
    let url = url.as_str();
    let name = without_secrets(url);
    match connect_to_redis(url, budget).await {
        Some(Ok(redis)) => Ok((Arc::new(redis), name)),
        Some(Err(CacheError::ConfigError(why))) => Err(invalid_url(&why)),
        Some(Err(error)) => Err(cannot_connect(&name, error.message())),
        None => {
            let seconds = CONNECT_TIMEOUT.as_secs();
            Err(cannot_connect(
                &name,
                &format!("no answer within {seconds} s"),
            ))
        }
    }
}

/// Checks where Redis is, without connecting.
pub(super) fn check_url(args: &ServeArgs) -> Result<(), CommandError> {
    match redis_url(args)? {
        Some(url) => RedisStreams::builder(url.as_str())
            .validate()
            .map_err(|error| invalid_url(error.message())),
        None => Ok(()),
    }
}

/// The reason names the URL without its secrets, and what to write instead.
fn invalid_url(why: &str) -> CommandError {
    CommandError::usage(format_args!("{why} (--redis)"))
}

/// Returns the URL of `--redis`, or that in the file of `--redis-file`.
pub(super) fn redis_url(args: &ServeArgs) -> Result<Option<RedisUrl>, CommandError> {
    let Some(path) = &args.redis_file else {
        return Ok(args.redis.clone());
    };
    match std::fs::read_to_string(path) {
        Ok(url) => Ok(Some(RedisUrl::from(url.trim()))),
        Err(error) => Err(CommandError::usage(format_args!(
            "cannot read --redis-file '{}': {error}",
            path.display()
        ))),
    }
}

/// Connects, and waits for as long as Redis loads its data. Returns `None` if an attempt timed out.
async fn connect_to_redis(url: &str, budget: &MemoryBudget) -> Option<CacheResult<RedisStreams>> {
    loop {
        let builder = RedisStreams::builder(url).memory_budget(budget.clone());
        let attempt = tokio::time::timeout(CONNECT_TIMEOUT, builder.connect()).await;
        match attempt {
            // Redis answers and will serve: after a restart it may have much to load.
            Ok(Err(error)) if error.retry() == Retry::Later && error.code() != DISCONNECTED => {
                tracing::warn!(%error, "waiting for Redis");
                tokio::time::sleep(LOADING_PAUSE).await;
            }
            attempt => return attempt.ok(),
        }
    }
}

fn cannot_connect(name: &str, why: &str) -> CommandError {
    CommandError::runtime(format_args!(
        "cannot connect to Redis at {name}: {why}; check that Redis runs there, or omit --redis to \
         keep streams in memory"
    ))
}
