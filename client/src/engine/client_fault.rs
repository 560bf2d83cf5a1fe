//! The faults that the client reports by itself, as a server would.

use streamgate_protocol::Retry;
use streamgate_protocol::error::code;
use streamgate_protocol::message::Fault;

/// Returns a fault that no server sent.
pub(super) fn fault(code: &str, why: &str) -> Fault {
    Fault::new(code, why, retry_of(code))
}

/// Returns what the table of codes says of the codes that a client uses by itself. A browser need
/// not download the rest of the table.
fn retry_of(code: &str) -> Retry {
    match code {
        code::DISCONNECTED | code::OVERLOADED => Retry::Later,
        code::UNKNOWN_OUTCOME => Retry::Unknown,
        _ => Retry::Never,
    }
}

#[cfg(test)]
mod tests {
    use streamgate_protocol::error;

    use super::*;

    #[test]
    fn the_table_of_codes_says_the_same() {
        for code in [
            code::CLOSED,
            code::DISCONNECTED,
            code::LIMIT,
            code::NOAUTH,
            code::NOPERM,
            code::OVERLOADED,
            code::PROTOCOL,
            code::UNKNOWN_OUTCOME,
        ] {
            assert_eq!(retry_of(code), error::retry_of(code), "{code}");
        }
    }
}
