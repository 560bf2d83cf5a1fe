//! What Redis and redis-rs report, as a [`CacheError`].

use redis::{ErrorKind, RedisError, ServerError, Value};
use streamgate_protocol::CacheError;
use streamgate_protocol::error::code;

/// The error that Redis answered a command with, its code first.
pub(crate) fn answered(error: &ServerError) -> CacheError {
    CacheError::from_code(error.code(), error.details().unwrap_or_default())
}

/// No answer came: the connection was lost, or Redis was silent for too long.
pub(crate) fn unanswered(error: &RedisError, read_only: bool) -> CacheError {
    let code = match (read_only, error.is_timeout()) {
        (false, _) => code::UNKNOWN_OUTCOME,
        (true, true) => code::TIMEOUT,
        (true, false) => code::DISCONNECTED,
    };
    CacheError::backend(code, format_args!("no answer from Redis: {error}"))
}

/// Whether Redis refuses whatever it is asked, for as long as that lasts.
pub(crate) fn serves_nobody(refusal: &CacheError) -> bool {
    matches!(refusal.code(), "LOADING" | "MASTERDOWN" | "BUSY")
}

/// Whether Redis refused a write because it is a replica.
pub(crate) fn is_read_only(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.code() == "READONLY")
}

/// There is no connection now; nothing was sent. Where Redis is, is in the log: clients of a server
/// are told this.
pub(crate) fn disconnected() -> CacheError {
    CacheError::backend(code::DISCONNECTED, "no connection to Redis")
}

/// Too much is under way on the connection; nothing was sent.
pub(crate) fn overloaded() -> CacheError {
    CacheError::backend(code::OVERLOADED, "Redis has too much to do already")
}

/// A connection could not be made.
pub(crate) fn unconnected(error: &RedisError, address: &str) -> CacheError {
    match error.kind() {
        ErrorKind::AuthenticationFailed => CacheError::from_code("WRONGPASS", &error.to_string()),
        ErrorKind::InvalidClientConfig => CacheError::ConfigError(error.to_string()),
        ErrorKind::RESP3NotSupported => CacheError::ConfigError(format!(
            "the server at {address} does not speak RESP3; Redis 7.0 or newer is needed"
        )),
        _ => match error.code() {
            Some(code) => CacheError::from_code(code, error.detail().unwrap_or_default()),
            None => CacheError::backend(
                code::DISCONNECTED,
                format_args!("cannot reach Redis at {address}: {error}"),
            ),
        },
    }
}

/// The task that waits for entries is gone.
pub(crate) fn hub_ended() -> CacheError {
    CacheError::backend(
        code::DISCONNECTED,
        "the runtime in which this backend was connected has ended",
    )
}

/// The answer is of a shape that no Redis known to us sends.
pub(crate) fn unexpected(wanted: &str) -> CacheError {
    CacheError::SerializationError(format!("Redis answered with something else than {wanted}"))
}
