//! What could not be read again while the server runs, for operators.

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// What a server reads again while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReloadSource {
    /// The settings: keys, roles and rights.
    Settings,
    /// The list of revoked tokens.
    RevokedTokens,
    /// The list of revoked tokens that a key of Redis has.
    RevokedKey,
    /// The certificate of the listener, its key, and the authorities of clients' certificates.
    Tls,
    /// The keys of an issuer, which are fetched.
    Jwks,
}

impl ReloadSource {
    /// Every source.
    pub const ALL: [Self; 5] = [
        Self::Settings,
        Self::RevokedTokens,
        Self::RevokedKey,
        Self::Tls,
        Self::Jwks,
    ];

    /// Returns its name in `/readyz`, in metrics and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::RevokedTokens => "revoked_tokens",
            Self::RevokedKey => "revoked_key",
            Self::Tls => "tls",
            Self::Jwks => "jwks",
        }
    }
}

impl fmt::Display for ReloadSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why the last reading of each source failed; `None` if it did not.
#[derive(Debug, Default)]
pub(crate) struct ReloadErrors(Mutex<[Option<String>; ReloadSource::ALL.len()]>);

impl ReloadErrors {
    pub(crate) fn set(&self, source: ReloadSource, error: Option<String>) {
        let mut errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = errors.get_mut(source as usize) {
            *slot = error;
        }
    }

    /// Returns all sources, and their errors.
    pub(crate) fn all(&self) -> [(ReloadSource, Option<String>); ReloadSource::ALL.len()] {
        let errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ReloadSource::ALL.map(|source| (source, errors.get(source as usize).cloned().flatten()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_own_error() {
        let errors = ReloadErrors::default();
        errors.set(ReloadSource::RevokedTokens, Some("why".to_owned()));
        let expected = [
            (ReloadSource::Settings, None),
            (ReloadSource::RevokedTokens, Some("why".to_owned())),
            (ReloadSource::RevokedKey, None),
            (ReloadSource::Tls, None),
            (ReloadSource::Jwks, None),
        ];
        assert_eq!(errors.all(), expected);
        errors.set(ReloadSource::RevokedTokens, None);
        assert!(errors.all().iter().all(|(_, error)| error.is_none()));
    }
}
