//! The list of revoked tokens, which `[auth.revocation] file` names.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use streamgate::{Revocation, RevokedTokens};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toml::{Spanned, Value};

use super::SettingsError;
use super::document::Document;
use super::inputs::{FileStamp, Inputs};
use super::suggestion::did_you_mean;

/// Most bytes of a list: enough for 100,000 revocations.
const MAX_BYTES: u64 = 16 << 20;

/// The end of the year 9999 in seconds since 1970. A later time has the wrong unit.
const MAX_SECONDS: i64 = 253_402_300_799;

/// The list of one file.
#[derive(Debug)]
pub(in crate::cli) struct RevokedFile {
    pub(in crate::cli) path: PathBuf,
    /// The file before it was read.
    pub(in crate::cli) stamp: FileStamp,
    pub(in crate::cli) tokens: RevokedTokens,
    /// Number of revocations.
    pub(in crate::cli) count: usize,
}

/// `[[revoked]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokedSection {
    sub: Option<String>,
    /// Of `sub` alone.
    iss: Option<String>,
    jti: Option<String>,
    kid: Option<String>,
    all: Option<bool>,
    /// Tokens that were issued before it.
    before: Value,
}

impl RevokedFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The first revocation that is invalid, with its line.
    pub(in crate::cli) fn load(path: &Path) -> Result<Self, SettingsError> {
        let stamp = FileStamp::of(path);
        let text = Inputs::default().read_text(path, MAX_BYTES)?;
        let document = Document::new(path, &text);
        let mut list = Vec::new();
        for (key, value) in document.parse()? {
            if key.get_ref() != "revoked" {
                let why = did_you_mean(key.get_ref(), ["revoked"]);
                let why = format!("unknown key '{}'; {why}", key.get_ref());
                return Err(document.error_at(&key.span(), why));
            }
            let sections: Vec<Spanned<RevokedSection>> = document.deserialize(value)?;
            for section in sections {
                let span = section.span();
                let revocation = revocation(section.into_inner());
                list.push(revocation.map_err(|why| document.error_at(&span, why))?);
            }
        }
        Ok(Self {
            path: path.to_owned(),
            stamp,
            count: list.len(),
            tokens: RevokedTokens::new(list),
        })
    }
}

fn revocation(section: RevokedSection) -> Result<(Revocation, SystemTime), &'static str> {
    let all = match section.all {
        Some(false) => return Err("`all` must be true; or use `sub`, `jti` or `kid`"),
        Some(true) => Some(Revocation::All),
        None => None,
    };
    let issuer = section.iss;
    if issuer.is_some() && section.sub.is_none() {
        return Err("`iss` must stand beside `sub`: it says whose subject is revoked");
    }
    if issuer.as_ref().is_some_and(String::is_empty) {
        return Err("`iss` must not be empty; without it, `sub` counts for every issuer");
    }
    let subject = |name| match issuer {
        Some(issuer) => Revocation::subject_of(issuer, name),
        None => Revocation::subject(name),
    };
    let mut named = [
        section.sub.map(subject),
        section.jti.map(Revocation::TokenId),
        section.kid.map(Revocation::Key),
        all,
    ]
    .into_iter()
    .flatten();
    let (Some(revocation), None) = (named.next(), named.next()) else {
        return Err("a revocation needs one of `sub`, `jti`, `kid` and `all = true`");
    };
    let before = time(&section.before)
        .ok_or("`before` must be a time such as 2026-11-27T20:00:00Z, or the seconds since 1970")?;
    Ok((revocation, before))
}

fn time(value: &Value) -> Option<SystemTime> {
    match value {
        Value::Integer(seconds) => time_of_seconds(*seconds),
        Value::Datetime(time) => time_of_text(&time.to_string()),
        Value::String(time) => time_of_text(time),
        _ => None,
    }
}

/// Returns a time in seconds since 1970, unless it has another unit.
pub(in crate::cli) fn time_of_seconds(seconds: i64) -> Option<SystemTime> {
    if seconds > MAX_SECONDS {
        return None;
    }
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// Returns a time as RFC 3339 writes it.
pub(in crate::cli) fn time_of_text(text: &str) -> Option<SystemTime> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok();
    time.map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<RevokedFile, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked.toml");
        std::fs::write(&path, text).unwrap();
        RevokedFile::load(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn revocations_name_what_they_revoke_and_a_time() {
        let file = load(
            "[[revoked]]\nsub = 'ann'\nbefore = 2001-09-09T03:46:40+02:00\n\
             [[revoked]]\njti = '1'\nbefore = '2001-09-09T01:46:40Z'\n\
             [[revoked]]\nkid = 'k'\nbefore = 1_000_000_000\n\
             [[revoked]]\nall = true\nbefore = 2001-09-09 01:46:40Z\n\
             [[revoked]]\niss = 'https://a:1'\nsub = 'ann'\nbefore = 1_000_000_000",
        );
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let expected = RevokedTokens::new([
            (Revocation::subject("ann"), time),
            (Revocation::subject_of("https://a:1", "ann"), time),
            (Revocation::TokenId("1".to_owned()), time),
            (Revocation::Key("k".to_owned()), time),
            (Revocation::All, time),
        ]);
        let file = file.unwrap();
        assert_eq!((file.tokens, file.count), (expected, 5));
        assert_eq!(load("").unwrap().count, 0);
    }

    #[test]
    fn an_invalid_revocation_is_an_error_with_its_line() {
        for (text, line, part) in [
            ("\n[[revoked]]\nsub = 'a'", 2, "before"),
            ("[[revoked]]\nbefore = 1", 1, "one of `sub`"),
            ("[[revoked]]\nsub = 'a'\njti = 'b'\nbefore = 1", 1, "one of"),
            (
                "[[revoked]]\nall = false\nbefore = 1",
                1,
                "`all` must be true",
            ),
            (
                "[[revoked]]\nsub = 'a'\nbefore = 1000000000000",
                1,
                "seconds",
            ),
            ("[[revoked]]\nsub = 'a'\nbefore = 2026-11-27", 1, "`before`"),
            ("[[revoked]]\nsub = 'a'\nbefore = -1", 1, "`before`"),
            ("[[revoked]]\niss = 'a'\nbefore = 1", 1, "beside `sub`"),
            (
                "[[revoked]]\njti = 'b'\niss = 'a'\nbefore = 1",
                1,
                "beside `sub`",
            ),
            (
                "[[revoked]]\nsub = 'b'\niss = ''\nbefore = 1",
                1,
                "not be empty",
            ),
            ("[[revoked]]\nsubject = 'a'\nbefore = 1", 2, "mean 'sub'"),
            ("[[revokd]]\nsub = 'a'\nbefore = 1", 1, "mean 'revoked'"),
            ("revoked = 1", 1, "invalid revoked: it must be a list"),
            ("\n\n[[revoked]", 3, ""),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.contains(&format!("revoked.toml:{line}: ")), "{error}");
            assert!(error.contains(part), "{error}");
        }
    }
}
