//! The errors of idempotent adds, the same in every backend.

use streamgate_protocol::CacheError;
use streamgate_protocol::error::code;

use crate::error_details::last_stored;

/// Returns the error of an add that must follow the add of number `after`, which is not stored.
/// `last` is the producer's last number that is stored; 0 for none.
pub fn out_of_order(after: u64, last: u64) -> CacheError {
    let last = last_stored(last);
    let why = format_args!("the preceding add, number {after}, is not stored; {last}");
    CacheError::backend(code::OUT_OF_ORDER, why)
}

/// Returns the error of an add that was not stored, while later adds of its producer were.
pub fn skipped(number: u64) -> CacheError {
    let why =
        format_args!("add number {number} was not stored, but later adds of its producer were");
    CacheError::backend(code::SKIPPED, why)
}

/// Returns the error of an add that the backend does not remember, although it may have stored it.
pub fn forgotten(number: u64) -> CacheError {
    let why = format_args!("add number {number} is not remembered; it may have been stored");
    CacheError::backend(code::FORGOTTEN, why)
}
