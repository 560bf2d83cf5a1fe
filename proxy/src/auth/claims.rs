//! The claims of a token.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::token_error::TokenError;

/// Roles of one token at most.
pub(super) const MAX_ROLES: usize = 100;

/// Longest subject in bytes.
const MAX_SUBJECT_BYTES: usize = 256;

/// Claims whose signature was verified.
#[derive(Debug, Clone)]
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// Returns `sub`.
    pub(super) fn subject(&self) -> Result<&str, TokenError> {
        let subject = self.text("sub").ok_or(TokenError::NoClaim("sub"))?;
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES {
            return Err(TokenError::InvalidClaim("sub"));
        }
        Ok(subject)
    }

    /// Returns a claim that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Returns a claim that is a time (RFC 7519, section 2: NumericDate).
    pub(super) fn time(&self, name: &'static str) -> Result<Option<SystemTime>, TokenError> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let seconds = value.as_f64().filter(|s| s.is_finite() && *s >= 0.0);
        let duration = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
        let time = duration.and_then(|duration| UNIX_EPOCH.checked_add(duration));
        time.map(Some).ok_or(TokenError::InvalidClaim(name))
    }

    /// Returns whether a claim is this text, or a list that contains it (`aud`).
    pub(super) fn contains(&self, name: &str, text: &str) -> bool {
        match self.0.get(name) {
            Some(Value::String(value)) => value == text,
            Some(Value::Array(values)) => values.iter().any(|value| value == text),
            _ => false,
        }
    }

    /// Returns the names in a claim: a list of texts, or one text of several words.
    pub(super) fn names(&self, claim: &str) -> Result<Vec<&str>, TokenError> {
        let names: Option<Vec<&str>> = match self.0.get(claim) {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::String(text)) => Some(text.split_whitespace().collect()),
            Some(Value::Array(values)) => values.iter().map(Value::as_str).collect(),
            Some(_) => None,
        };
        names
            .filter(|names| names.len() <= MAX_ROLES)
            .ok_or(TokenError::InvalidClaim("roles"))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// A name that stands twice would mean one thing here and another at whoever takes the other value.
impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Claims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of claims")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
                let mut claims = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if claims.insert(name, value).is_some() {
                        return Err(Error::custom("a claim stands twice"));
                    }
                }
                Ok(Claims(claims))
            }
        }

        deserializer.deserialize_map(Names)
    }
}
