//! The keys that verify tokens, each with one algorithm.

use std::fmt::{self, Display};
use std::str::FromStr;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};

/// Keys of a set at most: an issuer has a handful.
const MAX_KEYS: usize = 100;

/// Shortest secret in bytes of HS256 (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// The algorithm of a key (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256: who can verify a token can also make one.
    Hs256,
    /// RSA, PKCS #1 v1.5, with SHA-256.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    /// Returns its name in a token's header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, KeyError> {
        let named = Self::ALL.into_iter().find(|a| a.as_str() == name);
        named.ok_or_else(|| {
            KeyError(format!(
                "unknown algorithm '{name}'; use one of HS256, RS256, ES256 and EdDSA"
            ))
        })
    }
}

/// A key, and the one algorithm that it is for.
#[derive(Clone)]
pub struct VerificationKey {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError(String);

/// Keys that verify tokens.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Vec<VerificationKey>);

impl VerificationKey {
    /// Builds a key for HS256 from a secret of at least 32 bytes.
    ///
    /// # Errors
    ///
    /// If the secret is shorter.
    pub fn from_secret(id: Option<String>, secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(KeyError(format!(
                "the secret has {} bytes; HS256 needs at least {MIN_SECRET_BYTES} random ones",
                secret.len()
            )));
        }
        Ok(Self {
            id,
            algorithm: Algorithm::Hs256,
            key: DecodingKey::from_secret(secret),
        })
    }

    /// Returns the `kid` of its tokens.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns the algorithm that it is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Builds a key from the PEM of a public key.
    ///
    /// # Errors
    ///
    /// If it is no public key for this algorithm.
    pub fn from_pem(
        id: Option<String>,
        algorithm: Algorithm,
        pem: &[u8],
    ) -> Result<Self, KeyError> {
        let key = match algorithm {
            Algorithm::Hs256 => {
                return Err(KeyError("HS256 needs a secret, not a PEM file".to_owned()));
            }
            Algorithm::Rs256 => DecodingKey::from_rsa_pem(pem),
            Algorithm::Es256 => DecodingKey::from_ec_pem(pem),
            Algorithm::EdDsa => DecodingKey::from_ed_pem(pem),
        };
        let why = |_| {
            let text = String::from_utf8_lossy(pem);
            KeyError(if text.contains("PRIVATE KEY") {
                "it is a private key, which stays with the issuer; `openssl pkey -in FILE -pubout` \
                 prints its public key"
                    .to_owned()
            } else {
                format!(
                    "no public key for {algorithm} in PEM, which begins with \
                     -----BEGIN PUBLIC KEY-----"
                )
            })
        };
        Ok(Self {
            id,
            algorithm,
            key: key.map_err(why)?,
        })
    }

    /// Returns the key of a JWK; `None` if it is not one for signatures of an algorithm known here.
    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        if jwk
            .common
            .public_key_use
            .as_ref()
            .is_some_and(|u| *u != PublicKeyUse::Signature)
        {
            return None;
        }
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::Rs256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                Algorithm::Es256
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                Algorithm::EdDsa
            }
            // A secret does not belong into a set that is fetched.
            _ => return None,
        };
        let declared = jwk
            .common
            .key_algorithm
            .map(|declared| declared.to_string());
        if declared.is_some_and(|declared| declared != algorithm.as_str()) {
            return None;
        }
        Some(Self {
            id: Some(jwk.common.key_id.clone()?),
            algorithm,
            key: DecodingKey::from_jwk(jwk).ok()?,
        })
    }
}

/// Without the key.
impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyError {}

impl KeySet {
    /// Builds a set.
    ///
    /// # Errors
    ///
    /// If two keys have the same id, or there are more than 100.
    pub fn new(keys: impl IntoIterator<Item = VerificationKey>) -> Result<Self, KeyError> {
        let mut set = Self::default();
        for key in keys {
            if set.0.len() == MAX_KEYS {
                return Err(KeyError(format!("more than {MAX_KEYS} keys")));
            }
            if set.0.iter().any(|other| other.id == key.id) {
                let id = key.id.unwrap_or_default();
                return Err(KeyError(format!("two keys with the id '{id}'")));
            }
            set.0.push(key);
        }
        Ok(set)
    }

    /// Reads a JSON Web Key Set (RFC 7517). Leaves out what is no key for signatures with RS256,
    /// ES256 or EdDSA, and keys without `kid`.
    ///
    /// # Errors
    ///
    /// If it is no JSON Web Key Set, or if no key is left.
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeyError> {
        let invalid = |error: &dyn Display| KeyError(format!("no JSON Web Key Set: {error}"));
        let json = std::str::from_utf8(json).map_err(|error| invalid(&error))?;
        let jwks: JwkSet = serde_json::from_str(json).map_err(|error| invalid(&error))?;
        let set = Self::new(jwks.keys.iter().filter_map(VerificationKey::from_jwk))?;
        if set.is_empty() {
            let why = "it has no key with a `kid` for RS256, ES256 or EdDSA";
            return Err(KeyError(why.to_owned()));
        }
        Ok(set)
    }

    /// Returns whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &VerificationKey> {
        self.0.iter()
    }
}

impl IntoIterator for KeySet {
    type Item = VerificationKey;
    type IntoIter = std::vec::IntoIter<VerificationKey>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
