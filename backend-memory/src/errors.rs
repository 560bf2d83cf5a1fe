//! Errors, worded as Redis words them where Redis has them.

use streamgate_backend::perform_options::MAX_LISTED_CONSUMERS;
use streamgate_protocol::CacheError;
use streamgate_protocol::error::code;

pub(crate) fn ids_exhausted() -> CacheError {
    let why = "The stream has exhausted the last possible ID, unable to add more items";
    CacheError::backend(code::ERR, why)
}

pub(crate) fn group_exists() -> CacheError {
    CacheError::backend(code::BUSYGROUP, "Consumer Group name already exists")
}

pub(crate) fn no_group(key: &[u8], group: &[u8]) -> CacheError {
    let [key, group] = [key, group].map(String::from_utf8_lossy);
    let why = format_args!(
        "No such key '{key}' or consumer group '{group}' in XREADGROUP with GROUP option"
    );
    CacheError::backend(code::NOGROUP, why)
}

/// Returns the error of an add or a new group that does not fit.
pub(crate) fn stored_full(capacity: usize) -> CacheError {
    CacheError::backend(
        code::OOM,
        format_args!(
            "the streams in memory fill their capacity of {capacity} bytes; add with a smaller \
             maxlen, or raise the capacity"
        ),
    )
}

/// Returns the error of a delivery whose pending entries or consumer do not fit.
pub(crate) fn pending_full(capacity: usize) -> CacheError {
    CacheError::backend(
        code::OOM,
        format_args!(
            "pending entries and consumers fill their capacity of {capacity} bytes; acknowledge \
             entries, remove consumers, or raise the capacity"
        ),
    )
}

/// Returns the error of a list of a group's consumers that would be too long.
pub(crate) fn too_many_consumers(consumers: usize) -> CacheError {
    CacheError::backend(
        code::LIMIT,
        format_args!(
            "the group has {consumers} consumers, and no more than {MAX_LISTED_CONSUMERS} are \
             listed"
        ),
    )
}

pub(crate) fn overloaded() -> CacheError {
    CacheError::backend(
        code::OVERLOADED,
        "too many calls are waiting; try again later",
    )
}
