//! The revoked tokens that a hash of Redis lists, for all servers of that Redis together.
//!
//! Its fields are `sub:…`, `jti:…`, `kid:…`, `all`, and `{"iss":"…","sub":"…"}` for a subject of one
//! issuer: both may contain any character, so no separator could tell them apart. The value is a time:
//! tokens that were issued before it are revoked. If Redis is unavailable, the last good list stays in
//! force. A field that is invalid is reported, and does not hold up the others.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use streamgate::{ReloadSource, Revocation, RevokedTokens, Server};
use streamgate_protocol::{CacheError, Retry};
use streamgate_redis::{HashReader, RedisStreamsBuilder};
use tokio::time::MissedTickBehavior;

use super::CommandError;
use super::revocations::Revocations;
use super::settings::{time_of_seconds, time_of_text};

/// How often the hash is read: half of the time within which a revocation holds.
const INTERVAL: Duration = Duration::from_millis(500);

/// Longest time of one read. After it, the next one uses a new connection.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Longest time of one attempt at the first read.
const FIRST_TIMEOUT: Duration = Duration::from_secs(10);

/// Most fields: to read them takes Redis 4 ms, twice a second for each server.
const MAX_FIELDS: usize = 10_000;

/// Keeps a server as a hash says.
#[derive(Debug)]
pub(super) struct RevokedKey {
    key: String,
    reader: HashReader,
    server: Server,
    revocations: Revocations,
    /// The fields that were read last.
    fields: HashMap<String, String>,
    /// What was reported last.
    error: Option<String>,
}

impl RevokedKey {
    /// Reads the hash, so that the list is in force before the first client. Waits for as long as
    /// Redis is unavailable: without the list, revoked tokens would be accepted.
    ///
    /// # Errors
    ///
    /// If it cannot be read for another reason.
    pub(super) async fn open(
        redis: &RedisStreamsBuilder,
        key: &str,
        server: Server,
        revocations: Revocations,
    ) -> Result<Self, CommandError> {
        let cannot_read = |error: CacheError| {
            CommandError::runtime(format_args!(
                "cannot read the revoked tokens of the Redis hash '{key}': {error}; check \
                 [auth.revocation] redis_key, and what the Redis user may do (SECURITY.md)"
            ))
        };
        let mut opened = Self {
            reader: HashReader::new(redis, key).map_err(cannot_read)?,
            key: key.to_owned(),
            server,
            revocations,
            fields: HashMap::new(),
            error: None,
        };
        let mut is_waiting = false;
        loop {
            match opened.reader.read(MAX_FIELDS, FIRST_TIMEOUT).await {
                Ok(fields) => {
                    opened.put_into_force(fields);
                    return Ok(opened);
                }
                // Redis may start later.
                Err(error) if error.retry() == Retry::Later => {
                    if !is_waiting {
                        tracing::warn!(%error, key, "waiting for the revoked tokens of Redis");
                    }
                    is_waiting = true;
                    tokio::time::sleep(INTERVAL).await;
                }
                Err(error) => return Err(cannot_read(error)),
            }
        }
    }

    /// Reads the hash again and again, until it is dropped.
    pub(super) async fn run(mut self) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.reader.read(MAX_FIELDS, TIMEOUT).await {
                Ok(fields) if fields == self.fields && !self.failed_to_read() => {}
                Ok(fields) => self.put_into_force(fields),
                Err(error) => {
                    let why = format!("cannot read the Redis hash '{}': {error}", self.key);
                    self.report(Some(why), "the last good list stays in force");
                }
            }
        }
    }

    /// Returns whether the last report was not of these fields.
    fn failed_to_read(&self) -> bool {
        self.error.is_some() && self.error != parse(&self.fields).1
    }

    fn put_into_force(&mut self, fields: HashMap<String, String>) {
        let (tokens, invalid) = parse(&fields);
        let revocations = tokens.len();
        if fields != self.fields {
            tracing::info!(key = self.key, revocations, "revoked tokens of Redis read");
            self.revocations.set_key(tokens);
            self.fields = fields;
        }
        self.report(invalid, "its valid fields are in force");
    }

    /// Reports why the list is not as the hash says. Each reason is one line.
    fn report(&mut self, error: Option<String>, in_force: &str) {
        if error == self.error {
            return;
        }
        self.server
            .set_reload_error(ReloadSource::RevokedKey, error.clone());
        match &error {
            Some(error) => {
                let source = ReloadSource::RevokedKey;
                tracing::warn!(%source, error, "{in_force}");
            }
            None => tracing::info!(key = self.key, "revoked tokens of Redis are read again"),
        }
        self.error = error;
    }
}

/// A subject of one issuer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerAndSubject {
    iss: String,
    sub: String,
}

/// Returns the revocations of the valid fields, and what is wrong with the others.
fn parse(fields: &HashMap<String, String>) -> (RevokedTokens, Option<String>) {
    let mut invalid = Vec::new();
    let revocations = fields.iter().filter_map(|(field, value)| {
        let parsed = revocation(field).zip(time(value));
        if parsed.is_none() {
            invalid.push(field);
        }
        parsed
    });
    let tokens = RevokedTokens::new(revocations);
    let first = invalid.iter().min().map(|field| {
        let field: String = field.chars().take(64).collect();
        format!(
            "{} fields of the Redis hash are invalid, '{field}' among them: a field is sub:…, \
             jti:…, kid:…, all or {{\"iss\":\"…\",\"sub\":\"…\"}}, and its value is a time such as \
             2026-11-27T20:00:00Z, or the seconds since 1970",
            invalid.len()
        )
    });
    (tokens, first)
}

fn revocation(field: &str) -> Option<Revocation> {
    if field == "all" {
        return Some(Revocation::All);
    }
    if field.starts_with('{') {
        let IssuerAndSubject { iss, sub } = serde_json::from_str(field).ok()?;
        let are_named = !iss.is_empty() && !sub.is_empty();
        return are_named.then(|| Revocation::subject_of(iss, sub));
    }
    let (kind, name) = field.split_once(':')?;
    let name = (!name.is_empty()).then(|| name.to_owned())?;
    match kind {
        "sub" => Some(Revocation::subject(name)),
        "jti" => Some(Revocation::TokenId(name)),
        "kid" => Some(Revocation::Key(name)),
        _ => None,
    }
}

fn time(value: &str) -> Option<SystemTime> {
    match value.parse() {
        Ok(seconds) => time_of_seconds(seconds),
        Err(_) => time_of_text(value),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn parsed(fields: &[(&str, &str)]) -> (RevokedTokens, Option<String>) {
        let owned = |(field, value): &(&str, &str)| ((*field).to_owned(), (*value).to_owned());
        parse(&fields.iter().map(owned).collect())
    }

    #[test]
    fn fields_name_what_they_revoke_and_values_are_times() {
        let (tokens, invalid) = parsed(&[
            ("sub:ann:1", "1000000000"),
            ("jti:1", "2001-09-09T01:46:40Z"),
            ("kid:k", "2001-09-09T03:46:40+02:00"),
            ("all", "1000000000"),
            (
                r#"{"iss":"https://a:1/?\"sub:","sub":"sub:{\"ann"}"#,
                "1000000000",
            ),
        ]);
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let expected = RevokedTokens::new([
            (Revocation::subject("ann:1"), time),
            (
                Revocation::subject_of("https://a:1/?\"sub:", "sub:{\"ann"),
                time,
            ),
            (Revocation::TokenId("1".to_owned()), time),
            (Revocation::Key("k".to_owned()), time),
            (Revocation::All, time),
        ]);
        assert_eq!((tokens, invalid), (expected, None));
    }

    #[test]
    fn an_invalid_field_is_named_and_the_others_hold() {
        for (field, value) in [
            ("ann", "1"),
            ("user:ann", "1"),
            ("sub:", "1"),
            ("all:", "1"),
            ("iss:a", "1"),
            (r#"{"iss":"a"}"#, "1"),
            (r#"{"iss":"","sub":"b"}"#, "1"),
            (r#"{"iss":"a","sub":""}"#, "1"),
            (r#"{"iss":"a","iss":"b","sub":"c"}"#, "1"),
            (r#"{"iss":"a","sub":"b","jti":"c"}"#, "1"),
            (r#"{"iss":"a","sub":"b"} "c""#, "1"),
            ("sub:ann", "now"),
            ("sub:ann", ""),
            ("sub:ann", "-1"),
            ("sub:ann", "1000000000000"),
        ] {
            let (tokens, invalid) = parsed(&[(field, value), ("sub:bob", "1")]);
            assert_eq!(tokens.len(), 1, "{field} {value}");
            let invalid = invalid.unwrap();
            assert!(invalid.contains(&format!("'{field}'")), "{invalid}");
        }
    }
}
