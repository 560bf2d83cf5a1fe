//! Errors of Redis and of redis-rs, as [`CacheError`]s. Whether to retry is in the protocol's table
//! of codes.

use redis::{RedisError, ServerError, Value};
use streamgate_backend::error_details::too_large_entry;
use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, EntryId};

/// Converts an error that Redis answered. Its code stays.
pub(crate) fn answered(error: &ServerError) -> CacheError {
    CacheError::from_code(error.code(), error.details().unwrap_or_default())
}

/// Returns the error of an operation without an answer: the connection was lost, or Redis was
/// silent for too long.
pub(crate) fn unanswered(error: &RedisError, read_only: bool) -> CacheError {
    let code = match (read_only, error.is_timeout()) {
        (false, _) => code::UNKNOWN_OUTCOME,
        (true, true) => code::TIMEOUT,
        (true, false) => code::DISCONNECTED,
    };
    CacheError::backend(code, format_args!("no answer from Redis: {error}"))
}

/// Returns whether an error means that Redis serves no command for now.
pub(crate) fn serves_nobody(refusal: &CacheError) -> bool {
    matches!(refusal.code(), "LOADING" | "MASTERDOWN" | "BUSY")
}

/// Returns whether Redis refuses scripts to this user, or altogether. A script that fails for another
/// reason, such as a key that is forbidden, says nothing about the next one.
pub(crate) fn refuses_script(error: &CacheError) -> bool {
    let text = error.to_string();
    let forbids_command = text.contains("ermissions to run") || text.contains("can't run this");
    match error.code() {
        "NOPERM" => forbids_command,
        code::ERR => text.contains("unknown command") || forbids_command,
        _ => false,
    }
}

/// Returns whether Redis refused a write because it is a replica.
pub(crate) fn is_read_only(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.code() == "READONLY")
}

/// Returns the error of an operation that was not sent, because there is no connection now.
///
/// It leaves out Redis's address, because a server passes it on to its clients. The log has it.
pub(crate) fn disconnected() -> CacheError {
    CacheError::backend(code::DISCONNECTED, "no connection to Redis")
}

/// Returns the error of an operation that was not sent, because too many are unanswered.
pub(crate) fn overloaded() -> CacheError {
    CacheError::backend(
        code::OVERLOADED,
        "too many pipelines to Redis are unanswered; try again later",
    )
}

/// Returns the error of a connection that could not be opened.
pub(crate) fn unconnected(error: &RedisError, address: &str, hint: &str) -> CacheError {
    CacheError::backend(
        code::DISCONNECTED,
        format_args!("cannot reach Redis at {address}: {error}{hint}"),
    )
}

/// Returns the error of a connection that only another setting makes possible.
pub(crate) fn misconfigured(address: &str, remedy: &str) -> CacheError {
    CacheError::ConfigError(format!("cannot use Redis at {address}: {remedy}"))
}

/// Returns why a server that does not speak RESP3 pushes nothing.
pub(crate) fn no_resp3() -> CacheError {
    CacheError::backend("NOPROTO", "the server does not speak RESP3")
}

/// Returns the error of a wait whose hub has ended.
pub(crate) fn hub_ended() -> CacheError {
    CacheError::backend(
        code::DISCONNECTED,
        "the runtime in which this backend was connected has ended",
    )
}

/// Returns the error of a tail whose next page Redis cut off again and again, down to one entry.
/// `entry` is that entry's id and size, if they are known.
pub(crate) fn cut_off(after: EntryId, entry: Option<(String, u64)>) -> CacheError {
    let entry = match entry {
        Some((id, bytes)) => too_large_entry(id, bytes),
        None => format!("the entry after {after}"),
    };
    CacheError::backend(
        code::LIMIT,
        format_args!(
            "Redis closed the connection each time it sent {entry}; it may exceed Redis's \
             client-output-buffer-limit for normal clients: raise that limit, or delete the entry"
        ),
    )
}

/// Returns the error of an answer whose shape no known Redis sends.
pub(crate) fn unexpected(wanted: &str) -> CacheError {
    CacheError::SerializationError(format!("unexpected answer from Redis: expected {wanted}"))
}
