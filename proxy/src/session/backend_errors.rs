//! What clients learn of a backend's errors.
//!
//! On a server with a policy, no text of a backend reaches a client. Redis quotes keys, with the
//! prefix of a tenant, and the names of users and scripts. The code stays, with what the error is
//! about as data; a fixed sentence takes the place of the text.

use streamgate_protocol::error::{CODES, code};
use streamgate_protocol::message::Fault;

/// Of `ERR`, which may mean anything once the server has validated a request, and of codes that are
/// Redis's own.
const REFUSED: &str = "The backend refuses this request; the server's log has the reason.";

/// Replaces the text of a fault.
pub(super) fn conceal(fault: &mut Fault) {
    tracing::debug!(
        code = fault.code,
        message = fault.message,
        "an error of the backend"
    );
    let row = CODES.iter().find(|row| row.name == fault.code);
    let known = row.filter(|row| row.name != code::ERR);
    let sentence = known.map_or(REFUSED, |row| row.meaning);
    // Clients whose errors are texts alone learn the id from it.
    fault.message = match &fault.entry {
        Some(entry) => format!("the entry {entry} is too large. {sentence}"),
        None => sentence.to_owned(),
    };
}

#[cfg(test)]
mod tests {
    use streamgate_protocol::CacheError;

    use super::*;
    use crate::session::message_size::fault;

    fn concealed(error: &CacheError) -> Fault {
        let mut fault = fault(error);
        conceal(&mut fault);
        fault
    }

    #[test]
    fn no_text_of_a_backend_is_left_whatever_the_code() {
        let codes = CODES.iter().map(|row| row.name);
        for code in codes.chain(["MOVED", "NOPROTO", "NEWCODE"]) {
            let error = CacheError::from_code(code, "tenant:acme:jobs of 10.0.0.1");
            let concealed = concealed(&error);
            assert_eq!(concealed.code, code);
            assert_eq!(concealed.retry, error.retry().as_str());
            let text = concealed.message;
            assert!(!text.contains("acme") && text.ends_with('.'), "{text}");
        }
        let without_code = concealed(&CacheError::BackendError("tenant:acme:jobs".to_owned()));
        assert_eq!(
            (&*without_code.code, &*without_code.message),
            ("ERR", REFUSED)
        );
    }

    #[test]
    fn what_an_error_is_about_stays_as_data() {
        let why = "the entry 5-0 of 9 bytes in tenant:acme:jobs";
        let too_large = concealed(&CacheError::from_code(code::LIMIT, why));
        assert_eq!(too_large.entry.as_deref(), Some("5-0"));
        assert!(
            too_large.message.starts_with("the entry 5-0 is"),
            "{too_large:?}"
        );
        assert!(!too_large.message.contains("acme"), "{too_large:?}");
        let error = streamgate_backend::idempotent_add::out_of_order(9, 7);
        assert_eq!(concealed(&error).last_number, Some(7));
    }
}
