//! Why a token is refused.

use std::fmt;
use std::time::Duration;

/// Why a token is refused. Each reason has a word of its own, which begins the close's reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenError {
    Missing,
    TooLong(usize),
    Malformed,
    /// `alg` is `none`: the token is not signed.
    Unsigned,
    /// An algorithm that no key here has.
    UnknownAlgorithm,
    /// The key has another algorithm.
    WrongAlgorithm,
    UnknownKey,
    /// The issuer's keys are not known yet, or could not be fetched when they were needed: another
    /// attempt may succeed.
    NoKeys,
    /// A token without `kid`, and more than one key.
    NoKeyId,
    Signature,
    /// A required claim is absent.
    NoClaim(&'static str),
    InvalidClaim(&'static str),
    Expired(Duration),
    NotYetValid(Duration),
    LivesTooLong(Duration),
    Audience,
    Issuer,
    Revoked,
    OtherSubject,
}

impl TokenError {
    /// Returns the word that names the reason.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::TooLong(_) => "token_too_long",
            Self::Malformed => "token_malformed",
            Self::Unsigned => "token_unsigned",
            Self::UnknownAlgorithm => "token_algorithm_unknown",
            Self::WrongAlgorithm => "token_algorithm_wrong",
            Self::UnknownKey => "token_key_unknown",
            Self::NoKeys => "token_keys_unavailable",
            Self::NoKeyId => "token_key_missing",
            Self::Signature => "token_signature",
            Self::NoClaim(_) => "token_claim_missing",
            Self::InvalidClaim(_) => "token_claim_invalid",
            Self::Expired(_) => "token_expired",
            Self::NotYetValid(_) => "token_not_yet_valid",
            Self::LivesTooLong(_) => "token_life_too_long",
            Self::Audience => "token_audience",
            Self::Issuer => "token_issuer",
            Self::Revoked => "token_revoked",
            Self::OtherSubject => "token_other_subject",
        }
    }
}

/// The word, and a sentence. Nothing of the token is in it.
impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.code())?;
        match self {
            Self::Missing => f.write_str("this server requires a token"),
            Self::TooLong(bytes) => write!(
                f,
                "the token has {bytes} bytes; at most {} are accepted",
                super::MAX_TOKEN_BYTES
            ),
            Self::Malformed => f.write_str("the token is no JWT, and no token of this server"),
            Self::Unsigned => f.write_str("the token is not signed"),
            Self::UnknownAlgorithm => f.write_str("no key here has the token's algorithm"),
            Self::WrongAlgorithm => f.write_str("the token's key has another algorithm"),
            Self::UnknownKey => f.write_str("the token's key id is unknown"),
            Self::NoKeys => f.write_str("the issuer's keys are not available; try again later"),
            Self::NoKeyId => f.write_str("the token must name its key in `kid`"),
            Self::Signature => f.write_str("the token's signature is invalid"),
            Self::NoClaim(claim) => write!(f, "the token has no claim `{claim}`"),
            Self::InvalidClaim(claim) => write!(f, "the token's claim `{claim}` is invalid"),
            Self::Expired(ago) => write!(f, "the token ended {} s ago", ago.as_secs()),
            Self::NotYetValid(left) => write!(f, "the token begins in {} s", left.as_secs()),
            Self::LivesTooLong(max) => {
                write!(f, "the token lives longer than {} s", max.as_secs())
            }
            Self::Audience => f.write_str("the token is for another audience"),
            Self::Issuer => f.write_str("the token is from another issuer"),
            Self::Revoked => f.write_str("the token was revoked"),
            Self::OtherSubject => f.write_str("the token is of another subject"),
        }
    }
}

#[cfg(test)]
mod tests {
    use streamgate_protocol::limits::MAX_CLOSE_REASON_BYTES;

    use super::*;

    #[test]
    fn every_reason_fits_into_a_close_and_has_its_own_word() {
        let second = Duration::from_secs(u64::from(u32::MAX));
        let all = [
            TokenError::Missing,
            TokenError::TooLong(usize::MAX),
            TokenError::Malformed,
            TokenError::Unsigned,
            TokenError::UnknownAlgorithm,
            TokenError::WrongAlgorithm,
            TokenError::UnknownKey,
            TokenError::NoKeys,
            TokenError::NoKeyId,
            TokenError::Signature,
            TokenError::NoClaim("exp"),
            TokenError::InvalidClaim("sub"),
            TokenError::Expired(second),
            TokenError::NotYetValid(second),
            TokenError::LivesTooLong(second),
            TokenError::Audience,
            TokenError::Issuer,
            TokenError::Revoked,
            TokenError::OtherSubject,
        ];
        let mut codes = std::collections::BTreeSet::new();
        for error in all {
            assert!(error.to_string().len() <= MAX_CLOSE_REASON_BYTES, "{error}");
            assert!(codes.insert(error.code()), "{error}");
        }
    }
}
