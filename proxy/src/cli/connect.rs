//! The backend that the server stands in front of: Redis, or the memory of this process.

use std::sync::Arc;

use streamgate_backend::{Backend, MemoryBudget};
use streamgate_memory::MemoryStreams;
use streamgate_redis::{RedisStreams, RedisStreamsBuilder, without_secrets};

use super::CommandError;
use super::args::{RedisUrl, ServeArgs};

/// Connects to Redis, which may start later, or creates an empty backend in memory. Returns also a
/// name for it, without secrets.
pub(super) async fn connect(
    args: &ServeArgs,
    budget: &MemoryBudget,
) -> Result<(Arc<dyn Backend>, String), CommandError> {
    let Some((builder, name)) = redis(args)? else {
        let memory = MemoryStreams::builder()
            .capacity_bytes(args.memory_bytes)
            .memory_budget(budget.clone());
        return Ok((Arc::new(memory.build()), "memory".to_owned()));
    };
    // If Redis is not there yet, the server serves, and tells so.
    let connected = builder.memory_budget(budget.clone()).connect_lazily().await;
    match connected {
        Ok(redis) => Ok((Arc::new(redis), name)),
        Err(error) => Err(invalid(error.message())),
    }
}

/// Checks where Redis is and the files of TLS to it, without connecting.
pub(super) fn check_redis(args: &ServeArgs) -> Result<(), CommandError> {
    match redis(args)? {
        Some((builder, _)) => builder.validate().map_err(|error| invalid(error.message())),
        None => Ok(()),
    }
}

/// The reason names the URL without its secrets, and what to write instead.
fn invalid(why: &str) -> CommandError {
    CommandError::usage(format_args!("{why} (--redis)"))
}

/// Returns how to connect to the Redis of the flags, and its name without secrets; `None` if they
/// name none.
pub(super) fn redis(
    args: &ServeArgs,
) -> Result<Option<(RedisStreamsBuilder, String)>, CommandError> {
    let files = [
        (&args.redis_ca, "--redis-ca"),
        (&args.redis_certificate, "--redis-certificate"),
        (&args.redis_key, "--redis-key"),
    ];
    let Some(url) = redis_url(args)? else {
        return match files.iter().find(|(file, _)| file.is_some()) {
            Some((_, flag)) => Err(CommandError::usage(format_args!(
                "{flag} without --redis; add the URL of the Redis, which begins with rediss://"
            ))),
            None => Ok(None),
        };
    };
    let mut builder = RedisStreams::builder(url.as_str());
    if let Some(path) = &args.redis_ca {
        builder = builder.ca_file(path);
    }
    builder = match (&args.redis_certificate, &args.redis_key) {
        (Some(certificate), Some(key)) => builder.client_certificate_files(certificate, key),
        (None, None) => builder,
        (Some(_), None) => return Err(without("--redis-certificate", "--redis-key")),
        (None, Some(_)) => return Err(without("--redis-key", "--redis-certificate")),
    };
    Ok(Some((builder, without_secrets(url.as_str()))))
}

fn without(given: &str, missing: &str) -> CommandError {
    CommandError::usage(format_args!(
        "{given} without {missing}; a client certificate needs both"
    ))
}

/// Returns the URL of `--redis`, or that in the file of `--redis-file`.
fn redis_url(args: &ServeArgs) -> Result<Option<RedisUrl>, CommandError> {
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
