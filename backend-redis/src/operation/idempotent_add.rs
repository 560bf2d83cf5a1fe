//! Idempotent adds: an add that is repeated is stored once.
//!
//! A script stores each batch of adds. For each producer and stream it keeps one list, the dedup
//! window, with a record for each batch: its last number, and its first id. So one look at the last
//! record tells that a batch is new; only if it is not, the script reads more. An add that Redis
//! refuses stops the adds after it, so order is kept; the client repeats all of them.
//!
//! A record takes about 25 bytes. A window keeps the last 1,024 of them, and up to 64 more.
//!
//! What the script costs Redis is calls of commands: one for each add, as a plain add is, one that
//! reads the last record and one that writes a record. Measured and not taken: a string of records
//! (`APPEND` doubles the memory it takes), a Redis function (no faster), plain adds in `MULTI`
//! (nothing keeps those back that were done before). Redis 8.6 can do the same by itself (`XADD …
//! IDMP`); the script serves 7.0 and newer alike.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use streamgate_protocol::text::Text;
use streamgate_protocol::{Bytes, Operation};
use tokio::time::Instant;

use crate::operation::encode::EncodedOperation;
use crate::wire::commands;
use crate::wire::hash_tag::tag_of;
use crate::wire::packing::{PackedCommands, USUAL_COMMAND_BYTES};
use crate::wire::scripts::idempotent_add::{MAX_ADDS, ScriptCall, TTL_REFRESH_MS, call};

/// Most windows whose last refresh is known. Beyond it all are forgotten, and refreshed anew.
const MAX_KNOWN_WINDOWS: usize = 8_192;

/// Knows when the time-to-live of a dedup window is due to be set.
#[derive(Debug, Default)]
pub(crate) struct TtlRefresh(Mutex<HashMap<Vec<u8>, Instant>>);

/// A script call that sets a window's time-to-live, if it stores an add.
#[derive(Debug)]
pub(super) struct PendingRefresh {
    ttl_refresh: Arc<TtlRefresh>,
    window: Vec<u8>,
    encoded_at: Instant,
}

/// What idempotent adds depend on beside their arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deduplication<'a> {
    pub(crate) ttl_refresh: &'a Arc<TtlRefresh>,
    /// Whether Redis may evict a dedup window, so that an unknown producer may be a forgotten one.
    pub(crate) windows_may_be_evicted: bool,
}

/// Consecutive adds of one producer that go into one script call.
pub(super) struct AddBatch<'a> {
    stream: Bytes<'a>,
    producer: Text<'a>,
    first: u64,
    after: u64,
    maxlen: Option<u64>,
    fields: usize,
    count: u8,
    resent: bool,
    arguments: PackedCommands,
}

impl<'a> AddBatch<'a> {
    /// Begins a batch with an operation, or returns the operation if that is no idempotent add.
    pub(super) fn begin(operation: Operation<'a>) -> (Option<Self>, Option<Operation<'a>>) {
        let Operation::IdempotentAdd {
            stream,
            fields,
            maxlen,
            producer,
            number,
            after,
            resent,
        } = operation
        else {
            return (None, Some(operation));
        };
        let mut arguments = PackedCommands::with_capacity(USUAL_COMMAND_BYTES);
        commands::fields(&mut arguments, &fields);
        let batch = Self {
            stream,
            producer,
            first: number,
            after,
            maxlen,
            fields: fields.len(),
            count: 1,
            resent,
            arguments,
        };
        (Some(batch), None)
    }

    /// Adds an operation to the batch if it continues it. Returns whether it does.
    pub(super) fn push(&mut self, operation: &Operation<'_>) -> bool {
        let Operation::IdempotentAdd {
            stream,
            fields,
            maxlen,
            producer,
            number,
            after,
            resent,
        } = operation
        else {
            return false;
        };
        let continues = *number == self.first + u64::from(self.count)
            && *after == number - 1
            && self.count < MAX_ADDS
            && *resent == self.resent
            && *maxlen == self.maxlen
            && fields.len() == self.fields
            && **producer == *self.producer
            && **stream == *self.stream;
        if continues {
            commands::fields(&mut self.arguments, fields);
            self.count += 1;
        }
        continues
    }

    /// Returns what the batch's last add has to know for its result.
    pub(super) fn last_operation(&self) -> EncodedOperation {
        let number = self.first + u64::from(self.count) - 1;
        let is_first = self.count == 1;
        let after = if is_first { self.after } else { number - 1 };
        EncodedOperation::Scripted {
            is_first,
            number,
            after,
        }
    }

    /// Encodes the script call. Returns the refresh of its window's time-to-live, if that is due.
    pub(super) fn encode(
        self,
        to: &mut PackedCommands,
        deduplication: Deduplication<'_>,
    ) -> Option<PendingRefresh> {
        let window = window_key(&self.producer, &self.stream);
        let refresh_ttl = deduplication.ttl_refresh.is_due(&window);
        call(
            to,
            &ScriptCall {
                stream: &self.stream,
                window: &window,
                first: self.first,
                after: self.after,
                refresh_ttl,
                may_be_forgotten: self.resent && deduplication.windows_may_be_evicted,
                maxlen: self.maxlen,
                fields: self.fields,
                count: self.count,
                arguments: &self.arguments,
            },
        );
        refresh_ttl.then(|| PendingRefresh {
            ttl_refresh: Arc::clone(deduplication.ttl_refresh),
            window,
            encoded_at: Instant::now(),
        })
    }
}

/// Returns the key of a producer's dedup window, in the slot of the stream:
/// `streamgate:once:{STREAM}:PRODUCER`. If the stream's name is not its own tag, it follows.
///
/// No two windows share a key, because neither a tag holds a `}` nor a producer's name a `:`.
fn window_key(producer: &str, stream: &[u8]) -> Vec<u8> {
    let tag = tag_of(stream);
    let separated = if *tag == *stream {
        [&b""[..]; 2]
    } else {
        [b":", stream]
    };
    let [separator, stream] = separated;
    [
        b"streamgate:once:{",
        &*tag,
        b"}:",
        producer.as_bytes(),
        separator,
        stream,
    ]
    .concat()
}

impl TtlRefresh {
    /// Returns whether a window's time-to-live is due to be set.
    fn is_due(&self, window: &[u8]) -> bool {
        const INTERVAL: Duration = Duration::from_millis(TTL_REFRESH_MS);
        let since = self.known().get(window).copied();
        since.is_none_or(|since| since.elapsed() >= INTERVAL)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Instant>> {
        // Nothing panics under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingRefresh {
    /// Records that the script has set the time-to-live. Until then every call sets it: a call may
    /// be lost, and one that stores nothing leaves the time-to-live as it is.
    pub(super) fn done(self) {
        let mut known = self.ttl_refresh.known();
        if known.len() == MAX_KNOWN_WINDOWS {
            known.clear();
        }
        known.insert(self.window, self.encoded_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(number: u64, after: u64) -> Operation<'static> {
        Operation::IdempotentAdd {
            stream: "s".into(),
            fields: vec![("f".into(), "v".into())],
            maxlen: None,
            producer: "p".into(),
            number,
            after,
            resent: false,
        }
    }

    fn key(producer: &str, stream: &str) -> String {
        String::from_utf8(window_key(producer, stream.as_bytes())).unwrap()
    }

    #[test]
    fn a_batch_takes_consecutive_adds_only() {
        let begin = || AddBatch::begin(add(5, 3)).0.unwrap();
        assert!(begin().push(&add(6, 5)));
        assert!(!begin().push(&add(7, 6)), "6 is missing");
        assert!(!begin().push(&add(6, 4)), "5 need not be stored before it");
        let mut other = add(6, 5);
        if let Operation::IdempotentAdd { maxlen, .. } = &mut other {
            *maxlen = Some(1);
        }
        assert!(!begin().push(&other), "it trims");
        let mut other = add(6, 5);
        if let Operation::IdempotentAdd { resent, .. } = &mut other {
            *resent = true;
        }
        assert!(!begin().push(&other), "it is a repeat");
        let plain = Operation::ReadLatest {
            stream: "s".into(),
            count: 1,
        };
        assert!(!begin().push(&plain));
        assert!(AddBatch::begin(plain).0.is_none());
    }

    #[test]
    fn a_batch_is_bounded() {
        let mut batch = AddBatch::begin(add(1, 0)).0.unwrap();
        let taken = (2..).take_while(|n| batch.push(&add(*n, n - 1))).count();
        assert_eq!(1 + taken, usize::from(MAX_ADDS));
    }

    #[test]
    fn the_key_of_a_window_names_its_stream_and_producer() {
        assert_eq!(key("ann", "orders"), "streamgate:once:{orders}:ann");
        assert_eq!(key("ann", "{o}:eu"), "streamgate:once:{o}:ann:{o}:eu");
    }

    #[test]
    fn no_two_windows_share_a_key() {
        let parts = ["", "a", "b", ":", "{", "}", "}:", "ann", ":ann"];
        let names = parts.map(|a| parts.map(|b| parts.map(|c| [a, b, c].concat())));
        let mut streams: Vec<_> = names.into_iter().flatten().flatten().collect();
        streams.sort();
        streams.dedup();
        let producers = ["a", "ann", "b"];
        let keys = streams
            .iter()
            .flat_map(|stream| producers.map(|it| key(it, stream)));
        let keys: Vec<_> = keys.collect();
        let different: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_is_refreshed_every_quarter_of_its_time() {
        let ttl_refresh = Arc::new(TtlRefresh::default());
        let encode = || {
            let deduplication = Deduplication {
                ttl_refresh: &ttl_refresh,
                windows_may_be_evicted: false,
            };
            let batch = AddBatch::begin(add(1, 0)).0.unwrap();
            batch.encode(&mut PackedCommands::default(), deduplication)
        };
        for _ in 0..2 {
            assert!(encode().is_some(), "the first call was lost");
            encode().unwrap().done();
            assert!(encode().is_none());
            assert!(ttl_refresh.is_due(b"other"));
            tokio::time::advance(Duration::from_millis(TTL_REFRESH_MS)).await;
        }
    }
}
