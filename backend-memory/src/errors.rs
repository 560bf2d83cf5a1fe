//! Errors, worded as Redis words them where Redis has them.

use streamgate_protocol::CacheError;
use streamgate_protocol::error::code;

pub(crate) fn ids_exhausted() -> CacheError {
    let why = "The stream has exhausted the last possible ID, unable to add more items";
    CacheError::backend(code::ERR, why)
}

pub(crate) fn group_exists() -> CacheError {
    CacheError::backend(code::BUSYGROUP, "Consumer Group name already exists")
}

pub(crate) fn no_group(key: &str, group: &str) -> CacheError {
    let why = format_args!(
        "No such key '{key}' or consumer group '{group}' in XREADGROUP with GROUP option"
    );
    CacheError::backend(code::NOGROUP, why)
}

pub(crate) fn out_of_memory() -> CacheError {
    CacheError::backend(
        code::OOM,
        "command not allowed when used memory > 'maxmemory'.",
    )
}

pub(crate) fn overloaded() -> CacheError {
    CacheError::backend(
        code::OVERLOADED,
        "too many calls are waiting; try again later",
    )
}

pub(crate) fn out_of_order() -> CacheError {
    CacheError::backend(code::OUT_OF_ORDER, "the preceding add was not stored")
}

pub(crate) fn skipped() -> CacheError {
    let why = "later adds of the same producer were stored without this one";
    CacheError::backend(code::SKIPPED, why)
}

pub(crate) fn forgotten() -> CacheError {
    let why = "this add is older than the deduplication window; it may have been stored";
    CacheError::backend(code::FORGOTTEN, why)
}
