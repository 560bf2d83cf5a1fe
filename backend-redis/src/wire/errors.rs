//! Errors of Redis and of redis-rs, as [`CacheError`]s. Whether to retry is in the protocol's table
//! of codes.

use std::fmt::Display;

use redis::{RedisError, ServerError, Value};
use streamgate_backend::error_details::too_large_entry;
use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, EntryId};

/// Converts an error that Redis answered. Its code stays.
pub(crate) fn answered(error: &ServerError) -> CacheError {
    let details = error.details().unwrap_or_default();
    CacheError::from_code(error.code(), without_script(details))
}

/// Returns an error's text without the place in a script that Redis names: nobody else knows the
/// script.
pub(crate) fn without_script(details: &str) -> &str {
    let Some(at) = details.find("user_script") else {
        return details;
    };
    let before = &details[..at];
    let text = [" script: ", "Error running script"]
        .into_iter()
        .filter_map(|place| before.rfind(place))
        .min()
        .map_or(before, |at| &before[..at]);
    match text.trim_end_matches([' ', ',', ':', '@']) {
        "" => "Redis cannot run a script for this",
        text => text,
    }
}

/// Returns why scripts of idempotent adds cannot do their work.
pub(crate) fn missing_commands(commands: &str) -> CacheError {
    CacheError::backend(
        code::NOPERM,
        format_args!("the user may not run {commands} in scripts"),
    )
}

/// Converts an error of the first connection into one about settings, if only another setting helps.
pub(crate) fn of_settings(error: CacheError, address: &str) -> CacheError {
    let text = error.message();
    let remedy = match error.code() {
        code::WRONGPASS => format!(
            "it refuses the user name or the password; correct them in the URL, with special \
             characters percent-encoded ({text})"
        ),
        code::NOAUTH => {
            "it requires a password; write it into the URL, as in redis://user:password@host".into()
        }
        code::NOPERM => format!(
            "its user may not connect; permit what SECURITY.md lists with ACL SETUSER ({text})"
        ),
        // To `SELECT`, for example.
        code::ERR => {
            format!("it refuses the sign-in; correct the URL, such as its database ({text})")
        }
        _ => return error,
    };
    misconfigured(address, &remedy)
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

/// Returns whether Redis refuses a command to this user, or altogether. A command that fails for
/// another reason, such as a key that is forbidden, says nothing about the next one.
pub(crate) fn refuses_command(error: &CacheError) -> bool {
    let text = error.to_string();
    let forbids_command = text.contains("ermissions to run") || text.contains("can't run this");
    match error.code() {
        "NOPERM" => forbids_command,
        // The last is what Upstash says.
        code::ERR => {
            ["unknown command", "unknown subcommand", "not available"]
                .into_iter()
                .any(|why| text.contains(why))
                || forbids_command
        }
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

/// Returns the error of a connection to a replica that Sentinels named as the master.
pub(crate) fn no_master_yet(server: &dyn Display) -> CacheError {
    CacheError::backend(
        code::DISCONNECTED,
        format_args!("{server} is a replica, though its Sentinels call it the master"),
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_names_a_place_in_a_script() {
        for (details, expected) in [
            ("no such key", "no such key"),
            (
                "The user executing the script can't run this command or subcommand script: 5a3f, \
                 on @user_script:12.",
                "The user executing the script can't run this command or subcommand",
            ),
            (
                "ACL failure in script: User app has no permissions to run the 'rpush' command \
                 script: 5a3f, on @user_script:12.",
                "ACL failure in script: User app has no permissions to run the 'rpush' command",
            ),
            (
                "Error running script (call to f_5a3f): @user_script:12: WRONGTYPE",
                "Redis cannot run a script for this",
            ),
            (
                "user_script:1: attempt to index a nil value",
                "Redis cannot run a script for this",
            ),
        ] {
            assert_eq!(without_script(details), expected);
        }
    }
}
