//! What an error is about, as data for programs. A `CacheError` has only a message for people, so
//! the functions here read it from the messages that backends build here.

use std::fmt;

use streamgate_protocol::CacheError;
use streamgate_protocol::error::code;

const ENTRY: &str = "the entry ";
const LAST: &str = "the last one that is has number ";

/// How the message of a `LIMIT` names the entry that is too large.
pub fn too_large_entry(id: impl fmt::Display, bytes: u64) -> String {
    format!("{ENTRY}{id} of {bytes} bytes")
}

/// Returns the id of the entry that is too large, if the error names one.
pub fn entry_of(error: &CacheError) -> Option<String> {
    let message = of_code(error, code::LIMIT)?;
    let (_, rest) = message.split_once(ENTRY)?;
    let (id, _) = rest.split_once(" of ")?;
    Some(id.to_owned())
}

/// How the message of an `OUT_OF_ORDER` names the producer's last number that is stored.
pub(crate) fn last_stored(number: u64) -> String {
    format!("{LAST}{number}")
}

/// Returns the last number that is stored, of an add that was out of order.
pub fn last_number_of(error: &CacheError) -> Option<u64> {
    let (_, number) = of_code(error, code::OUT_OF_ORDER)?.split_once(LAST)?;
    number.parse().ok()
}

fn of_code<'a>(error: &'a CacheError, code: &str) -> Option<&'a str> {
    (error.code() == code).then(|| error.message())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idempotent_add::{forgotten, out_of_order};

    #[test]
    fn the_last_number_of_an_add_that_is_out_of_order_is_data() {
        assert_eq!(last_number_of(&out_of_order(9, 7)), Some(7));
        assert_eq!(last_number_of(&out_of_order(9, 0)), Some(0));
        assert_eq!(last_number_of(&forgotten(9)), None);
    }

    #[test]
    fn the_entry_that_is_too_large_is_data() {
        let why = format!("no room for {}; read on", too_large_entry("5-0", 9));
        let error = CacheError::backend(code::LIMIT, why);
        assert_eq!(entry_of(&error).as_deref(), Some("5-0"));
        let error = CacheError::backend(code::LIMIT, "the entry after 5-0 may be too large");
        assert_eq!(entry_of(&error), None);
    }
}
