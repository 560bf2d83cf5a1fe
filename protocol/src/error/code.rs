//! The one table of error codes.

use super::Retry;

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Code {
    /// The first word of the message.
    pub name: &'static str,
    /// The code as an enum.
    pub kind: ErrorKind,
    /// Whether the same call may be made again.
    pub retry: Retry,
    /// When the error occurs.
    pub meaning: &'static str,
}

/// Declares the constants, the enum and the table from one list.
macro_rules! codes {
    ($($kind:ident $name:ident $retry:ident $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $name: &str = stringify!($name);
        )*

        /// The code of a [`CacheError`](super::CacheError) as an enum, for `match`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind {
            $(
                #[doc = concat!("`", stringify!($name), "`: ", $meaning)]
                $kind,
            )*
            /// A code of Redis's own that is not in the table.
            Other,
        }

        /// Every code that streamgate gives a meaning. Any other code is Redis's own: it is passed
        /// on unchanged, with [`Retry::Never`].
        pub const CODES: &[Code] = &[
            $(Code {
                name: $name,
                kind: ErrorKind::$kind,
                retry: Retry::$retry,
                meaning: $meaning,
            },)*
        ];
    };
}

codes! {
    Generic ERR Never
        "An argument is wrong: a malformed id, an add without fields.";
    NoGroup NOGROUP Never
        "The consumer group, or its stream, is missing.";
    BusyGroup BUSYGROUP Never
        "The consumer group exists already.";
    WrongType WRONGTYPE Never
        "The key holds something else than a stream.";
    Limit LIMIT Never
        "A name, a request or an answer is larger than its bound.";
    Overloaded OVERLOADED Later
        "A bound on concurrent work is reached; nothing was done.";
    Disconnected DISCONNECTED Later
        "No connection, to the server or to Redis; nothing was changed.";
    Timeout TIMEOUT Later
        "No answer came in time; nothing was changed.";
    UnknownOutcome UNKNOWN_OUTCOME Unknown
        "The answer was lost; it may have been done.";
    OutOfOrder OUT_OF_ORDER Later
        "An add before this one is missing; nothing was done.";
    Skipped SKIPPED Never
        "Later adds of its producer were stored; this one was not, and never will be.";
    Forgotten FORGOTTEN Unknown
        "The server no longer knows whether the add was stored.";
    Closed CLOSED Never
        "The client was closed by its owner, or has stopped.";
    Protocol PROTOCOL Never
        "The two sides do not speak the same protocol.";
    NoAuth NOAUTH Never
        "Authentication is required.";
    WrongPass WRONGPASS Never
        "Wrong name or password.";
    NoPerm NOPERM Never
        "This is not permitted.";
    OutOfMemory OOM Later
        "The backend's memory is used up; nothing was changed.";
    Loading LOADING Later
        "Redis is starting.";
    ReadOnly READONLY Later
        "This Redis is a replica, as after a failover.";
    MasterDown MASTERDOWN Later
        "A replica has lost its master.";
    ClusterDown CLUSTERDOWN Later
        "The Redis cluster is not complete.";
    TryAgain TRYAGAIN Later
        "The Redis cluster is moving this key.";
    Busy BUSY Later
        "Redis is running a long script.";
    Misconf MISCONF Later
        "Redis cannot write to its disk and refuses writes.";
    NoReplicas NOREPLICAS Later
        "Redis has too few replicas to accept writes.";
    Serialization SERIALIZATION Never
        "A value could not be encoded or decoded.";
    Invalidation INVALIDATION Never
        "Not produced by streamgate.";
    Config CONFIG Never
        "A setting is wrong.";
    NotFound NOTFOUND Never
        "Not produced by streamgate.";
    Internal INTERNAL Never
        "A bug in streamgate.";
}

/// Returns what the table says about a code: [`Retry::Never`] for one that is not in it.
pub fn retry_of(code: &str) -> Retry {
    lookup(code).map_or(Retry::Never, |(_, _, retry)| retry)
}

impl ErrorKind {
    /// Returns the kind of a code: [`Other`](Self::Other) for one that is not in the table.
    pub fn of_code(code: &str) -> Self {
        lookup(code).map_or(Self::Other, |(_, kind, _)| kind)
    }
}

type Row = (&'static str, ErrorKind, Retry);

/// The table without its prose, which a browser need not download.
static ROWS: [Row; CODES.len()] = {
    let mut rows = [("", ErrorKind::Other, Retry::Never); CODES.len()];
    let mut i = 0;
    while i < CODES.len() {
        rows[i] = (CODES[i].name, CODES[i].kind, CODES[i].retry);
        i += 1;
    }
    rows
};

fn lookup(code: &str) -> Option<Row> {
    ROWS.iter().copied().find(|(name, ..)| *name == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_listed_twice() {
        for (i, row) in CODES.iter().enumerate() {
            let mut others = CODES[i + 1..].iter();
            assert!(others.all(|other| other.name != row.name), "{}", row.name);
        }
    }

    #[test]
    fn every_code_has_its_own_kind() {
        for row in CODES {
            assert_eq!(ErrorKind::of_code(row.name), row.kind);
            assert_eq!(retry_of(row.name), row.retry);
        }
        assert_eq!(ErrorKind::of_code("NEWCODE"), ErrorKind::Other);
        assert_eq!(retry_of("NEWCODE"), Retry::Never);
    }
}
