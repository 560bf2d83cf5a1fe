//! How operations fail: [`CacheError`], its [`ErrorKind`], and the [table of codes](CODES).

use std::fmt;
use std::time::Duration;

pub mod code;

pub use self::code::{CODES, Code, ErrorKind, retry_of};

/// The result of an operation.
pub type CacheResult<T> = Result<T, CacheError>;

/// Why an operation failed.
///
/// Compare [`kind`](Self::kind) or [`code`](Self::code), never the message. The variants are those
/// of the `multi-tier-cache` crate, and there will be no others: new failures are new codes.
///
/// `Display` writes the code and the message. An error has no
/// [`source`](std::error::Error::source): its message says everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheError {
    /// The backend, or the connection to it, refused or failed.
    ///
    /// The message begins with its code, as Redis writes it: `NOGROUP No such key …`. The code is
    /// one of [`CODES`], or another one of Redis's own.
    BackendError(String),
    /// A value could not be encoded or decoded.
    SerializationError(String),
    /// Not produced by streamgate. Kept so that code written against `multi-tier-cache` ports.
    InvalidationError(String),
    /// A setting is wrong: a malformed address, an option out of range.
    ConfigError(String),
    /// Not produced by streamgate, where a missing stream reads as empty. Kept so that code written
    /// against `multi-tier-cache` ports.
    NotFound,
    /// A bug in streamgate.
    InternalError(String),
}

/// Stands before the pause at the end of a message.
const RETRY_AFTER: &str = "; retry after ";

/// Whether a failed call may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same call fails again.
    Never,
    /// Nothing was done. The same call may succeed later.
    Later,
    /// The call may have been done. Calling again may do it twice.
    Unknown,
}

impl CacheError {
    /// Builds a [`BackendError`](Self::BackendError) from its code and its message.
    pub fn backend(code: &str, message: impl fmt::Display) -> Self {
        Self::BackendError(format!("{code} {message}"))
    }

    /// Builds the error of a call whose answer is lost: `DISCONNECTED` if the call only reads, else
    /// `UNKNOWN_OUTCOME`.
    pub fn lost(read_only: bool, message: &str) -> Self {
        let code = if read_only {
            code::DISCONNECTED
        } else {
            code::UNKNOWN_OUTCOME
        };
        Self::from_code(code, message)
    }

    /// Builds the `ERR` of a backend that does not support something: for the last arm of a `match`
    /// on an [`Operation`](crate::Operation), or on another enum that may grow.
    pub fn unsupported(what: &str) -> Self {
        let mut message = String::from("this backend does not support ");
        message.push_str(what);
        Self::from_code(code::ERR, &message)
    }

    /// Builds an error from its code and its message: the inverse of [`code`](Self::code) and
    /// [`message`](Self::message).
    pub fn from_code(code: &str, message: &str) -> Self {
        match code {
            code::SERIALIZATION => Self::SerializationError(message.to_owned()),
            code::INVALIDATION => Self::InvalidationError(message.to_owned()),
            code::CONFIG => Self::ConfigError(message.to_owned()),
            code::NOTFOUND => Self::NotFound,
            code::INTERNAL => Self::InternalError(message.to_owned()),
            // Without `format!`, a kilobyte of a browser's download.
            code => {
                let mut text = String::with_capacity(code.len() + 1 + message.len());
                text.push_str(code);
                text.push(' ');
                text.push_str(message);
                Self::BackendError(text)
            }
        }
    }

    /// Adds the shortest pause before the same call may succeed, rounded up to milliseconds.
    ///
    /// It becomes the end of the message: `OVERLOADED too many requests; retry after 1200 ms`. Only
    /// a [`BackendError`](Self::BackendError) has one; the other variants stay as they are.
    #[must_use]
    pub fn with_retry_after(mut self, pause: Duration) -> Self {
        if let Self::BackendError(message) = &mut self {
            let ms = pause.as_nanos().div_ceil(1_000_000);
            message.push_str(&format!("{RETRY_AFTER}{ms} ms"));
        }
        self
    }

    /// Returns the shortest pause before the same call may succeed, if the backend or the server
    /// named one. A server does if calls come faster than it allows, with `OVERLOADED`.
    pub fn retry_after(&self) -> Option<Duration> {
        split_retry_after(self.message())
            .1
            .map(Duration::from_millis)
    }

    /// Returns the code, such as `NOGROUP`. A message that begins with none has `ERR`.
    pub fn code(&self) -> &str {
        match self {
            Self::BackendError(message) => leading_code(message).unwrap_or(code::ERR),
            Self::SerializationError(_) => code::SERIALIZATION,
            Self::InvalidationError(_) => code::INVALIDATION,
            Self::ConfigError(_) => code::CONFIG,
            Self::NotFound => code::NOTFOUND,
            Self::InternalError(_) => code::INTERNAL,
        }
    }

    /// Returns the [code](Self::code) as an enum.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::of_code(self.code())
    }

    /// Returns whether the same call may be made again.
    pub fn retry(&self) -> Retry {
        retry_of(self.code())
    }

    /// Returns the message without its code.
    pub fn message(&self) -> &str {
        match self {
            Self::BackendError(message) => match leading_code(message) {
                Some(code) => message[code.len()..].trim_start(),
                None => message,
            },
            Self::SerializationError(message)
            | Self::InvalidationError(message)
            | Self::ConfigError(message)
            | Self::InternalError(message) => message,
            Self::NotFound => "",
        }
    }
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BackendError(message) => f.write_str(message),
            Self::NotFound => f.write_str(code::NOTFOUND),
            other => write!(f, "{} {}", other.code(), other.message()),
        }
    }
}

impl std::error::Error for CacheError {}

impl Retry {
    /// Returns what a word on the wire means. One that is not known means `never`.
    pub fn of_word(word: &str) -> Self {
        match word {
            "later" => Self::Later,
            "unknown" => Self::Unknown,
            _ => Self::Never,
        }
    }

    /// Returns `never`, `later` or `unknown`: the text on the wire and in JavaScript.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Later => "later",
            Self::Unknown => "unknown",
        }
    }
}

/// Divides a message into what it says and the milliseconds of the pause at its end.
pub(crate) fn split_retry_after(message: &str) -> (&str, Option<u64>) {
    let parts = message
        .strip_suffix(" ms")
        .and_then(|message| message.rsplit_once(RETRY_AFTER))
        .and_then(|(message, ms)| Some((message, Some(ms.parse().ok()?))));
    parts.unwrap_or((message, None))
}

/// A code is a first word of capitals, digits and underscores, as Redis writes them.
fn leading_code(message: &str) -> Option<&str> {
    let bytes = message.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b' ');
    let word = message.get(..end.unwrap_or(bytes.len()))?;
    let capital = bytes.first().is_some_and(u8::is_ascii_uppercase);
    let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    (capital && word.len() > 1 && word.bytes().all(allowed)).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Fault;

    #[test]
    fn the_code_is_the_first_word() {
        let error = CacheError::BackendError("NOGROUP No such key 'a'".into());
        assert_eq!(error.code(), "NOGROUP");
        assert_eq!(error.kind(), ErrorKind::NoGroup);
        assert_eq!(error.message(), "No such key 'a'");
        assert_eq!(error.retry(), Retry::Never);
    }

    #[test]
    fn a_message_without_a_code_is_err() {
        for text in [
            "",
            "no code here",
            "A single letter is no code",
            "Mixed case",
        ] {
            let error = CacheError::BackendError(text.into());
            assert_eq!(error.code(), "ERR", "{text:?}");
            assert_eq!(error.message(), text);
        }
    }

    #[test]
    fn every_code_survives_a_round_trip() {
        for row in CODES {
            let error = CacheError::from_code(row.name, "why");
            assert_eq!(error.code(), row.name);
            assert_eq!(error.kind(), row.kind);
            assert_eq!(error.retry(), row.retry);
            if row.name != code::NOTFOUND {
                assert_eq!(error.message(), "why");
            }
        }
    }

    #[test]
    fn an_unknown_code_is_passed_on() {
        let error = CacheError::from_code("NEWCODE", "of a later Redis");
        assert_eq!(
            error,
            CacheError::BackendError("NEWCODE of a later Redis".into())
        );
        assert_eq!(error.code(), "NEWCODE");
        assert_eq!(error.kind(), ErrorKind::Other);
        assert_eq!(error.retry(), Retry::Never);
    }

    #[test]
    fn a_pause_is_part_of_the_message_and_can_be_read_from_it() {
        let error = CacheError::backend("OVERLOADED", "too many requests");
        assert_eq!(error.retry_after(), None);
        let error = error.with_retry_after(Duration::from_micros(1_500_001));
        assert_eq!(error.retry_after(), Some(Duration::from_millis(1_501)));
        assert_eq!(
            error.to_string(),
            "OVERLOADED too many requests; retry after 1501 ms"
        );
        let rebuilt = CacheError::from_code(error.code(), error.message());
        assert_eq!(rebuilt.retry_after(), error.retry_after());
        let fault = Fault::from(&error);
        assert_eq!(
            (&*fault.message, fault.retry_after_ms),
            ("too many requests", Some(1_501))
        );
        assert_eq!(CacheError::from(&fault), error);
    }

    #[test]
    fn other_texts_name_no_pause() {
        for text in [
            "BUSY retry after 5",
            "BUSY; retry after 5 s",
            "BUSY; retry after -5 ms",
            "BUSY; retry after 99999999999999999999 ms",
            "BUSY; retry after 5 ms, or not",
        ] {
            let error = CacheError::BackendError(text.into());
            assert_eq!(error.retry_after(), None, "{text}");
        }
        let error = CacheError::NotFound.with_retry_after(Duration::from_secs(1));
        assert_eq!(error, CacheError::NotFound);
    }

    #[test]
    fn the_code_and_the_message_are_displayed_once() {
        for (error, text) in [
            (
                CacheError::backend("NOGROUP", "No such key"),
                "NOGROUP No such key",
            ),
            (CacheError::BackendError("no code".into()), "no code"),
            (
                CacheError::ConfigError("missing scheme".into()),
                "CONFIG missing scheme",
            ),
            (CacheError::NotFound, "NOTFOUND"),
        ] {
            assert_eq!(error.to_string(), text);
            assert!(std::error::Error::source(&error).is_none());
        }
    }
}
