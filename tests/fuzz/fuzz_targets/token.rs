//! Tokens: whoever has no key can make none, and those with a right signature are judged as SPEC.md
//! and RFC 7519 say.
//!
//! The first letter of the input says what it is. `e`, `h`, `E`: a header and claims on lines of their
//! own, signed with Ed25519 or HS256; `E` at a server that has one key alone. After the letter may
//! come a place and a character that is put there after signing. `p`, `r`, `n`: the same, signed with
//! a public key as if it were a secret, or not signed. `t`: a token. `j`: a JSON Web Key Set.

#![no_main]

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use streamgate::fuzzing::TokenVerifier;
use streamgate::{Algorithm, AuthPolicy, KeySet, StaticToken, VerificationKey};

const AUDIENCE: &str = "streamgate";
const ISSUER: &str = "https://issuer.example.com";
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const STATIC_TOKEN: &str = "a static token of a machine";
const STATIC_SUBJECT: &str = "ci";
const MAX_LIFE_SECONDS: f64 = 3_600.0;
const LEEWAY_SECONDS: f64 = 30.0;
const MAX_ROLES: usize = 100;

/// Seconds since 1970 of the first look at a token.
const NOW: u32 = 1_800_000_000;

/// Seconds until the later looks at the same token.
const LATER: [u32; 4] = [0, 29, 3_600, 100_000];

/// The first 2^n of seconds that is no time.
const TOO_LATE: f64 = 9_223_372_036_854_775_808.0;

const P256: &[u8] = include_bytes!("../files/p256.pub.pem");
const RSA: &[u8] = include_bytes!("../../../proxy/src/auth/test_keys/rsa.pub.pem");

/// Before the raw key in a SubjectPublicKeyInfo of Ed25519 (RFC 8410).
const ED25519_SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

static ED25519: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes"));

static ED25519_PEM: LazyLock<String> = LazyLock::new(|| {
    let der = [&ED25519_SPKI[..], ED25519.public_key().as_ref()].concat();
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
});

/// The policy of a server with four keys, two of which sign here.
static POLICY: LazyLock<AuthPolicy> = LazyLock::new(|| {
    let pem = |id: &str, algorithm, pem| {
        VerificationKey::from_pem(Some(id.to_owned()), algorithm, pem).expect("a public key")
    };
    let secret = VerificationKey::from_secret(Some("hs".to_owned()), SECRET);
    policy([
        pem("ed", Algorithm::EdDsa, ED25519_PEM.as_bytes()),
        pem("es", Algorithm::Es256, P256),
        pem("rs", Algorithm::Rs256, RSA),
        secret.expect("32 bytes"),
    ])
});

static POLICY_OF_ONE_KEY: LazyLock<AuthPolicy> = LazyLock::new(|| {
    let pem = ED25519_PEM.as_bytes();
    policy([
        VerificationKey::from_pem(Some("ed".to_owned()), Algorithm::EdDsa, pem)
            .expect("a public key"),
    ])
});

fn policy(keys: impl IntoIterator<Item = VerificationKey>) -> AuthPolicy {
    let digest = digest(&SHA256, STATIC_TOKEN.as_bytes());
    AuthPolicy::new()
        .keys(KeySet::new(keys).expect("ids that differ"), AUDIENCE)
        .issuer(ISSUER)
        .max_life(Duration::from_secs_f64(MAX_LIFE_SECONDS))
        .leeway(Duration::from_secs_f64(LEEWAY_SECONDS))
        .static_tokens([StaticToken {
            subject: STATIC_SUBJECT.to_owned(),
            sha256: digest.as_ref().try_into().expect("32 bytes"),
            roles: Vec::new(),
        }])
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else {
        return;
    };
    match kind {
        b'j' => key_set(rest),
        b't' => {
            if let Ok(token) = std::str::from_utf8(rest) {
                let subject = (token == STATIC_TOKEN).then_some(STATIC_SUBJECT);
                check(&POLICY, token, |_| subject.map(str::to_owned));
            }
        }
        _ => signed(*kind, rest),
    }
});

/// A set of keys of which none has signed the token: none accepts it.
fn key_set(json: &[u8]) {
    let Ok(keys) = KeySet::from_jwks(json) else {
        return;
    };
    for key in keys.clone() {
        let header = format!(
            r#"{{"alg":"{}","kid":{}}}"#,
            key.algorithm(),
            Value::from(key.id().unwrap_or_default())
        );
        let claims = format!(
            r#"{{"sub":"ann","aud":"{AUDIENCE}","iss":"{ISSUER}","exp":{}}}"#,
            NOW + 60
        );
        let message = message(header.as_bytes(), claims.as_bytes());
        let token = with_signature(&message, ED25519.sign(message.as_bytes()).as_ref());
        let policy = policy(keys.clone());
        check(&policy, &token, |_| None);
    }
}

fn signed(kind: u8, input: &[u8]) {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let (Some(change), Some(header), Some(claims)) = (lines.next(), lines.next(), lines.next())
    else {
        return;
    };
    let message = message(header, claims);
    let hmac = |secret: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
    };
    let (signature, signer) = match kind {
        b'e' | b'E' => {
            let signature = ED25519.sign(message.as_bytes());
            (signature.as_ref().to_vec(), Some(("ed", "EdDSA")))
        }
        b'h' => (hmac(SECRET), Some(("hs", "HS256"))),
        b'p' => (hmac(ED25519_PEM.as_bytes()), None),
        b'r' => (hmac(ED25519.public_key().as_ref()), None),
        b'n' => (Vec::new(), None),
        _ => return,
    };
    let original = with_signature(&message, &signature);
    let token = changed(&original, change);
    let has_one_key = kind == b'E';
    let policy = if has_one_key {
        &POLICY_OF_ONE_KEY
    } else {
        &POLICY
    };
    let has_right_signature = token == original
        && signer.is_some_and(|(id, algorithm)| names_key(header, id, algorithm, has_one_key));
    check(policy, &token, |now| {
        let claims = has_right_signature.then(|| Pairs::<Value>::parse(claims));
        subject(&claims.flatten()?, now)
    });
}

fn message(header: &[u8], claims: &[u8]) -> String {
    let (header, claims) = (
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims),
    );
    format!("{header}.{claims}")
}

fn with_signature(message: &str, signature: &[u8]) -> String {
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Puts a character into a place of a token, as in `12A`.
fn changed(token: &str, change: &[u8]) -> String {
    let mut characters: Vec<char> = token.chars().collect();
    if let Ok(change) = std::str::from_utf8(change)
        && let Some(new) = change.chars().next_back()
        && let Ok(place) = change[..change.len() - new.len_utf8()].parse::<usize>()
    {
        let count = characters.len();
        characters[place % count] = new;
    }
    characters.into_iter().collect()
}

/// Looks at a token, now and later. What a server remembers of it changes nothing.
fn check(policy: &AuthPolicy, token: &str, expected: impl Fn(f64) -> Option<String>) {
    let remembering = TokenVerifier::new(policy.clone());
    for later in LATER {
        let seconds = NOW + later;
        let now: SystemTime = UNIX_EPOCH + Duration::from_secs(seconds.into());
        let result = remembering.verify(token, now);
        assert_eq!(result.clone().ok(), expected(seconds.into()), "{result:?}");
        assert_eq!(remembering.verify(token, now), result, "the same again");
        assert_eq!(
            TokenVerifier::new(policy.clone()).verify(token, now),
            result
        );
    }
}

/// Returns whether a header is one of tokens of this key.
fn names_key(header: &[u8], id: &str, algorithm: &str, is_only_key: bool) -> bool {
    let Some(header) = Pairs::<Box<RawValue>>::parse(header) else {
        return false;
    };
    let text = |value: &RawValue| serde_json::from_str::<String>(value.get()).ok();
    let names_key = match header.all("kid")[..] {
        [] => is_only_key,
        [key] => text(key).map_or(is_only_key && key.get() == "null", |key| key == id),
        _ => false,
    };
    let [named] = header.all("alg")[..] else {
        return false;
    };
    names_key && text(named).as_deref() == Some(algorithm) && header.all("crit").is_empty()
}

/// Returns the subject of claims that are right at this time.
fn subject(claims: &Pairs<Value>, now: f64) -> Option<String> {
    let all_once = claims.0.iter().all(|(name, _)| claims.all(name).len() == 1);
    let claim = |name: &str| claims.all(name).first().copied();
    let time = |name: &str| -> Option<Option<f64>> {
        match claim(name) {
            None => Some(None),
            Some(value) => Some(Some(
                value.as_f64().filter(|t| (0.0..TOO_LATE).contains(t))?,
            )),
        }
    };
    let is = |value: &Value, text: &str| value.as_str() == Some(text);
    let subject = claim("sub")?.as_str()?;
    let end = time("exp")??;
    let begin = time("nbf")?.unwrap_or_default();
    time("iat")?;
    let audience = match claim("aud")? {
        Value::Array(audiences) => audiences.iter().any(|audience| is(audience, AUDIENCE)),
        audience => is(audience, AUDIENCE),
    };
    let has_roles = match claim("roles") {
        None | Some(Value::Null) => true,
        Some(Value::String(roles)) => roles.split_whitespace().count() <= MAX_ROLES,
        Some(Value::Array(roles)) => roles.len() <= MAX_ROLES && roles.iter().all(Value::is_string),
        Some(_) => false,
    };
    let in_time = now < end + LEEWAY_SECONDS
        && begin <= now + LEEWAY_SECONDS
        && end - now <= MAX_LIFE_SECONDS + LEEWAY_SECONDS;
    let is_right = all_once
        && (1..=256).contains(&subject.len())
        && audience
        && is(claim("iss")?, ISSUER)
        && has_roles
        && in_time;
    is_right.then(|| subject.to_owned())
}

/// The names and values of a JSON object, in order, also those that stand twice.
struct Pairs<V>(Vec<(String, V)>);

impl<V: DeserializeOwned> Pairs<V> {
    fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}

impl<V> Pairs<V> {
    fn all(&self, name: &str) -> Vec<&V> {
        let named = self.0.iter().filter(|(other, _)| other == name);
        named.map(|(_, value)| value).collect()
    }
}

impl<'de, V: DeserializeOwned> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<V>(std::marker::PhantomData<V>);

        impl<'de, V: DeserializeOwned> Visitor<'de> for Object<V> {
            type Value = Pairs<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<V>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Object(std::marker::PhantomData))
    }
}
