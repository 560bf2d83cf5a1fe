//! How an operation fails: one error type, and one table of codes.

use std::fmt;

/// What an operation gives: a value or a [`CacheError`].
pub type CacheResult<T> = Result<T, CacheError>;

/// Why an operation failed.
///
/// The message of a [`BackendError`](Self::BackendError) begins with its code, as Redis writes
/// it: `NOGROUP No such key …`. Compare [`code`](Self::code), never prose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// The backend, or the way to it, refused or failed. The message begins with a code of
    /// [`CODES`], or with another one of Redis's own.
    #[error("Backend error: {0}")]
    BackendError(String),
    /// A value could not be encoded or decoded.
    #[error("Serialization error: {0}")]
    SerializationError(String),
    /// Kept so that code written against `multi-tier-cache` ports; nothing here produces it.
    #[error("Invalidation error: {0}")]
    InvalidationError(String),
    /// A setting is wrong: an address that is no address, an option out of range.
    #[error("Configuration error: {0}")]
    ConfigError(String),
    /// Kept so that code written against `multi-tier-cache` ports: a stream that is missing reads
    /// as empty, so nothing here produces it.
    #[error("Key not found")]
    NotFound,
    /// A bug in streamgate.
    #[error("Internal error: {0}")]
    InternalError(String),
}

/// Whether the same call may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same call fails again.
    Never,
    /// Nothing was done; the same call may succeed later.
    Later,
    /// It may have been done. Calling again may do it twice.
    Unknown,
}

/// One row of the table of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The first word of the message.
    pub name: &'static str,
    /// Whether the same call may be made again.
    pub retry: Retry,
    /// When it is given.
    pub meaning: &'static str,
}

/// Codes of our own, by name.
pub mod code {
    /// An argument is wrong. Redis's own code for it.
    pub const ERR: &str = "ERR";
    /// A size is beyond a bound.
    pub const LIMIT: &str = "LIMIT";
    /// A queue is full; nothing was done.
    pub const OVERLOADED: &str = "OVERLOADED";
    /// The connection was lost or could not be made; nothing was changed.
    pub const DISCONNECTED: &str = "DISCONNECTED";
    /// No answer came in time; nothing was changed.
    pub const TIMEOUT: &str = "TIMEOUT";
    /// The answer was lost; it may have been done.
    pub const UNKNOWN_OUTCOME: &str = "UNKNOWN_OUTCOME";
    /// It is to be asked for again. Redis's own code.
    pub const TRYAGAIN: &str = "TRYAGAIN";
    /// An add that must not come before another one was refused; nothing was done.
    pub const OUT_OF_ORDER: &str = "OUT_OF_ORDER";
    /// Later adds of the same client were added without this one; nothing was done.
    pub const SKIPPED: &str = "SKIPPED";
    /// Whether an add was done is not remembered any more.
    pub const FORGOTTEN: &str = "FORGOTTEN";
    /// The client was closed by its owner.
    pub const CLOSED: &str = "CLOSED";
    /// The two sides do not speak the same protocol.
    pub const PROTOCOL: &str = "PROTOCOL";
    /// The group is missing. Redis's own code.
    pub const NOGROUP: &str = "NOGROUP";
    /// The group is there already. Redis's own code.
    pub const BUSYGROUP: &str = "BUSYGROUP";
    /// The key holds something else than a stream. Redis's own code.
    pub const WRONGTYPE: &str = "WRONGTYPE";
    /// Memory is used up. Redis's own code.
    pub const OOM: &str = "OOM";
    /// Code of [`CacheError::SerializationError`](super::CacheError::SerializationError).
    pub const SERIALIZATION: &str = "SERIALIZATION";
    /// Code of [`CacheError::InvalidationError`](super::CacheError::InvalidationError).
    pub const INVALIDATION: &str = "INVALIDATION";
    /// Code of [`CacheError::ConfigError`](super::CacheError::ConfigError).
    pub const CONFIG: &str = "CONFIG";
    /// Code of [`CacheError::NotFound`](super::CacheError::NotFound).
    pub const NOTFOUND: &str = "NOTFOUND";
    /// Code of [`CacheError::InternalError`](super::CacheError::InternalError).
    pub const INTERNAL: &str = "INTERNAL";
}

/// Every code that has a meaning here. A code that is not in the table is Redis's own word and
/// is passed on as it is, with [`Retry::Never`].
pub const CODES: &[Code] = &[
    row(
        code::ERR,
        Retry::Never,
        "An argument is wrong: a malformed id, an add without fields.",
    ),
    row(
        code::NOGROUP,
        Retry::Never,
        "The consumer group, or its stream, is missing.",
    ),
    row(
        code::BUSYGROUP,
        Retry::Never,
        "The consumer group is there already.",
    ),
    row(
        code::WRONGTYPE,
        Retry::Never,
        "The key holds something else than a stream.",
    ),
    row(
        code::LIMIT,
        Retry::Never,
        "A name, a request or an answer is larger than its bound.",
    ),
    row(
        code::OVERLOADED,
        Retry::Later,
        "Too many calls wait already; nothing was done.",
    ),
    row(
        code::DISCONNECTED,
        Retry::Later,
        "No connection, to the proxy or to Redis; nothing was changed.",
    ),
    row(
        code::TIMEOUT,
        Retry::Later,
        "No answer came in time; nothing was changed.",
    ),
    row(
        code::UNKNOWN_OUTCOME,
        Retry::Unknown,
        "The answer was lost; it may have been done.",
    ),
    row(
        code::OUT_OF_ORDER,
        Retry::Later,
        "An add before this one is missing; nothing was done.",
    ),
    row(
        code::SKIPPED,
        Retry::Later,
        "Later adds of the same client were done without this one; it was not.",
    ),
    row(
        code::FORGOTTEN,
        Retry::Unknown,
        "Whether it was added is not remembered any more.",
    ),
    row(
        code::CLOSED,
        Retry::Never,
        "The client was closed by its owner, or stopped for good.",
    ),
    row(
        code::PROTOCOL,
        Retry::Never,
        "The two sides do not speak the same protocol.",
    ),
    row("NOAUTH", Retry::Never, "No one has said who they are."),
    row("WRONGPASS", Retry::Never, "Wrong name or password."),
    row("NOPERM", Retry::Never, "This is not permitted."),
    row(
        code::OOM,
        Retry::Later,
        "The backend's memory is used up; nothing was changed.",
    ),
    row("LOADING", Retry::Later, "Redis is starting."),
    row(
        "READONLY",
        Retry::Later,
        "This Redis is a replica, as after a failover.",
    ),
    row("MASTERDOWN", Retry::Later, "A replica has lost its master."),
    row(
        "CLUSTERDOWN",
        Retry::Later,
        "The Redis cluster is not complete.",
    ),
    row(
        code::TRYAGAIN,
        Retry::Later,
        "The Redis cluster is moving this key.",
    ),
    row("BUSY", Retry::Later, "Redis is running a long script."),
    row(
        "MISCONF",
        Retry::Later,
        "Redis cannot write to its disk and refuses writes.",
    ),
    row(
        "NOREPLICAS",
        Retry::Later,
        "Redis has too few replicas to accept writes.",
    ),
    row(
        code::SERIALIZATION,
        Retry::Never,
        "A value could not be encoded or decoded.",
    ),
    row(
        code::INVALIDATION,
        Retry::Never,
        "Not produced by streamgate.",
    ),
    row(code::CONFIG, Retry::Never, "A setting is wrong."),
    row(code::NOTFOUND, Retry::Never, "Not produced by streamgate."),
    row(code::INTERNAL, Retry::Never, "A bug in streamgate."),
];

impl CacheError {
    /// A [`BackendError`](Self::BackendError) whose message begins with `code`.
    pub fn backend(code: &str, message: impl fmt::Display) -> Self {
        Self::BackendError(format!("{code} {message}"))
    }

    /// The error of a call whose answer is lost: `DISCONNECTED` if it only reads, else
    /// `UNKNOWN_OUTCOME`.
    pub fn lost(read_only: bool, why: &str) -> Self {
        let code = if read_only {
            code::DISCONNECTED
        } else {
            code::UNKNOWN_OUTCOME
        };
        Self::from_code(code, why)
    }

    /// The error's code, such as `NOGROUP`; `ERR` where a message begins with none.
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

    /// Whether the same call may be made again.
    pub fn retry(&self) -> Retry {
        retry_of(self.code())
    }

    /// The message without its code.
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

    /// The error that a code and a message stand for: the inverse of [`code`](Self::code) and
    /// [`message`](Self::message).
    pub fn from_code(code: &str, message: &str) -> Self {
        match code {
            code::SERIALIZATION => Self::SerializationError(message.to_owned()),
            code::INVALIDATION => Self::InvalidationError(message.to_owned()),
            code::CONFIG => Self::ConfigError(message.to_owned()),
            code::NOTFOUND => Self::NotFound,
            code::INTERNAL => Self::InternalError(message.to_owned()),
            code => {
                let mut text = String::with_capacity(code.len() + 1 + message.len());
                text.push_str(code);
                text.push(' ');
                text.push_str(message);
                Self::BackendError(text)
            }
        }
    }
}

impl Retry {
    /// `never`, `later` or `unknown`: as the wire and JavaScript write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Later => "later",
            Self::Unknown => "unknown",
        }
    }
}

/// What the table says of a code; [`Retry::Never`] for one that is not in it.
pub fn retry_of(code: &str) -> Retry {
    RETRIES
        .iter()
        .find(|(name, _)| *name == code)
        .map_or(Retry::Never, |(_, retry)| *retry)
}

/// The table without its prose, which a browser need not download.
static RETRIES: [(&str, Retry); CODES.len()] = {
    let mut retries = [("", Retry::Never); CODES.len()];
    let mut place = 0;
    while place < CODES.len() {
        retries[place] = (CODES[place].name, CODES[place].retry);
        place += 1;
    }
    retries
};

#[cfg(feature = "json")]
impl From<serde_json::Error> for CacheError {
    fn from(error: serde_json::Error) -> Self {
        Self::SerializationError(format!("{error}"))
    }
}

impl From<std::num::TryFromIntError> for CacheError {
    fn from(error: std::num::TryFromIntError) -> Self {
        Self::ConfigError(format!("{error}"))
    }
}

const fn row(name: &'static str, retry: Retry, meaning: &'static str) -> Code {
    Code {
        name,
        retry,
        meaning,
    }
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

    #[test]
    fn the_code_is_the_first_word() {
        let error = CacheError::BackendError("NOGROUP No such key 'a'".into());
        assert_eq!(error.code(), "NOGROUP");
        assert_eq!(error.message(), "No such key 'a'");
        assert_eq!(error.retry(), Retry::Never);
    }

    #[test]
    fn prose_without_a_code_is_err() {
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
    fn every_row_survives_the_way_there_and_back() {
        for row in CODES {
            let error = CacheError::from_code(row.name, "why");
            assert_eq!(error.code(), row.name);
            assert_eq!(error.retry(), row.retry);
            if row.name != code::NOTFOUND {
                assert_eq!(error.message(), "why");
            }
        }
    }

    #[test]
    fn no_code_is_listed_twice() {
        for (i, row) in CODES.iter().enumerate() {
            assert!(
                CODES[i + 1..].iter().all(|other| other.name != row.name),
                "{}",
                row.name
            );
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
        assert_eq!(error.retry(), Retry::Never);
    }
}
