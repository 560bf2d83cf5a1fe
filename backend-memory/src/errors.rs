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

pub(crate) fn no_group(key: &[u8], group: &[u8]) -> CacheError {
    let [key, group] = [key, group].map(String::from_utf8_lossy);
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
