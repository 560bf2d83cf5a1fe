//! Signatures of tokens, with the cryptography of ring.
//!
//! jsonwebtoken parses keys. Its own cryptography would be a second library beside the one of TLS,
//! and takes almost five times as long to build.

use jsonwebtoken::{DecodingKey, DecodingKeyKind};
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};

use super::key_set::Algorithm;

/// Returns whether a signature is that of a message, by this key.
pub(super) fn is_valid(
    algorithm: Algorithm,
    key: &DecodingKey,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let by = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
        let key = UnparsedPublicKey::new(algorithm, key);
        key.verify(message, signature).is_ok()
    };
    match (algorithm, key.kind()) {
        (Algorithm::Hs256, DecodingKeyKind::SecretOrDer(secret)) => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            hmac::verify(&key, message, signature).is_ok()
        }
        (Algorithm::Rs256, DecodingKeyKind::SecretOrDer(key)) => {
            by(&RSA_PKCS1_2048_8192_SHA256, key)
        }
        (Algorithm::Rs256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            let key = RsaPublicKeyComponents { n, e };
            key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok()
        }
        (Algorithm::Es256, DecodingKeyKind::SecretOrDer(point)) => {
            by(&ECDSA_P256_SHA256_FIXED, point)
        }
        (Algorithm::EdDsa, DecodingKeyKind::SecretOrDer(point)) => by(&ED25519, point),
        (
            Algorithm::Hs256 | Algorithm::Es256 | Algorithm::EdDsa,
            DecodingKeyKind::RsaModulusExponent { .. },
        ) => false,
    }
}
