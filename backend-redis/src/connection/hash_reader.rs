//! Reads a hash of Redis as a whole, on a connection of its own.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult};

use crate::builder::RedisStreamsBuilder;
use crate::connection::endpoint::Endpoint;
use crate::connection::resp::{OpenedConnection, RespConnection};
use crate::wire::packing::PackedCommands;
use crate::wire::{answers, commands, errors};

/// Fields that a command reads of a large hash: Redis does nothing else for half a millisecond.
const PAGE_FIELDS: u64 = 1_000;

/// How long a read waits for answers of Sentinels.
const ASK_LIMIT: Duration = Duration::from_millis(250);

/// Reads a hash, again and again. The connection is opened when it is needed.
pub struct HashReader {
    endpoint: Endpoint,
    key: String,
    connection: Option<OpenedConnection>,
}

impl HashReader {
    /// Creates a reader of the hash with this key, of the Redis to which the builder connects.
    ///
    /// # Errors
    ///
    /// `CONFIG` for invalid settings. The error does not repeat the password.
    pub fn new(redis: &RedisStreamsBuilder, key: &str) -> CacheResult<Self> {
        Ok(Self {
            endpoint: redis.endpoint()?,
            key: key.to_owned(),
            connection: None,
        })
    }

    /// Returns the fields and their values; none if the key is missing. It may miss a change during
    /// the read. U+FFFD replaces bytes that are not UTF-8.
    ///
    /// # Errors
    ///
    /// `LIMIT` if there are more than `max_fields`; `TIMEOUT` if it takes longer than `timeout`,
    /// connecting included; `DISCONNECTED` if Redis cannot be reached; `CONFIG` if only another
    /// setting helps; else what Redis answers, such as `WRONGTYPE` or `NOPERM`.
    pub async fn read(
        &mut self,
        max_fields: usize,
        timeout: Duration,
    ) -> CacheResult<HashMap<String, String>> {
        // After a read that failed or took too long, the next one opens a new connection.
        let connection = self.connection.take();
        let read = self.read_on(connection, max_fields);
        let read = tokio::time::timeout(timeout, read).await;
        let (connection, fields) = read.unwrap_or_else(|_| {
            let why = format_args!("no answer from Redis within {} ms", timeout.as_millis());
            Err(CacheError::backend(code::TIMEOUT, why))
        })?;
        self.connection = Some(connection);
        Ok(fields)
    }

    async fn read_on(
        &self,
        opened: Option<OpenedConnection>,
        max_fields: usize,
    ) -> CacheResult<(OpenedConnection, HashMap<String, String>)> {
        let opened = match opened.filter(|opened| !opened.connection.is_lost()) {
            Some(opened) if self.is_master(&opened).await => opened,
            _ => RespConnection::open(&self.endpoint, None, || ()).await?,
        };
        let connection = &opened.connection;
        let mut fields = HashMap::new();
        let mut cursor = String::from("0");
        loop {
            let mut packed = PackedCommands::default();
            commands::scan_hash(&mut packed, self.key.as_bytes(), &cursor, PAGE_FIELDS);
            let sent = connection.send(packed, None);
            let sent = sent.map_err(|_| errors::disconnected())?;
            let values = sent
                .await
                .map_err(|error| errors::unanswered(&error, true))?;
            let answer = answers::next_value(&mut values.values.into_iter());
            let (next, page) = answers::hash_page(answer)?;
            fields.extend(page);
            if fields.len() > max_fields {
                let why = format_args!("the hash has more than {max_fields} fields");
                return Err(CacheError::backend(code::LIMIT, why));
            }
            if next == "0" {
                return Ok((opened, fields));
            }
            cursor = next;
        }
    }

    /// Returns whether a connection leads to the master, as far as Sentinels tell: one that was
    /// replaced may still answer.
    async fn is_master(&self, opened: &OpenedConnection) -> bool {
        let (Some(sentinels), Some(server)) = (self.endpoint.sentinels(), &opened.server) else {
            return true;
        };
        let named = sentinels.master(&self.endpoint, ASK_LIMIT).await;
        named.map_or(true, |named| !named.by_majority || named.server == *server)
    }
}

impl fmt::Debug for HashReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashReader")
            .field("endpoint", &self.endpoint)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
