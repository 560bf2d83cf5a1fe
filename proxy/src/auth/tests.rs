//! Tokens of every kind, accepted and refused, each with its own reason.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};
use streamgate_protocol::Operation;

use super::*;
use crate::rights::{Permission, RightRule, Role};

const AUDIENCE: &str = "streamgate";
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

/// Before the raw key in a SubjectPublicKeyInfo (RFC 8410, RFC 5480).
const ED25519_SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A key pair of an issuer.
struct Issuer {
    algorithm: Algorithm,
    id: &'static str,
    signing: Signing,
    public_pem: Vec<u8>,
    public_jwk: Value,
}

enum Signing {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
    Hmac(hmac::Key),
}

impl Signing {
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Self::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
        }
    }
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn pem(der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n").into_bytes()
}

fn jwk(id: &str, parameters: Value) -> Value {
    let mut jwk = parameters;
    jwk["kid"] = json!(id);
    jwk["use"] = json!("sig");
    jwk
}

impl Issuer {
    fn ed25519(id: &'static str) -> Self {
        let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).unwrap();
        let key = pair.public_key().as_ref();
        Self {
            algorithm: Algorithm::EdDsa,
            id,
            public_pem: pem(&[&ED25519_SPKI[..], key].concat()),
            public_jwk: jwk(
                id,
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(key)}),
            ),
            signing: Signing::Ed25519(pair),
        }
    }

    fn p256(id: &'static str) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let private = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, private.as_ref(), &random).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = (base64url(&point[1..33]), base64url(&point[33..]));
        Self {
            algorithm: Algorithm::Es256,
            id,
            public_pem: pem(&[&P256_SPKI[..], point].concat()),
            public_jwk: jwk(id, json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})),
            signing: Signing::P256(pair),
        }
    }

    /// From a key for tests alone: ring makes no RSA keys.
    fn rsa(id: &'static str) -> Self {
        let private = include_str!("test_keys/rsa.pem");
        let lines = private.lines().filter(|line| !line.starts_with("-----"));
        let private = STANDARD.decode(lines.collect::<String>()).unwrap();
        let pair = RsaKeyPair::from_pkcs8(&private).unwrap();
        let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
        let (n, e) = (base64url(public.n), base64url(public.e));
        Self {
            algorithm: Algorithm::Rs256,
            id,
            public_pem: include_bytes!("test_keys/rsa.pub.pem").to_vec(),
            public_jwk: jwk(id, json!({"kty": "RSA", "n": n, "e": e})),
            signing: Signing::Rsa(Box::new(pair)),
        }
    }

    fn hmac(id: &'static str) -> Self {
        Self {
            algorithm: Algorithm::Hs256,
            id,
            signing: Signing::Hmac(hmac::Key::new(hmac::HMAC_SHA256, SECRET)),
            public_pem: Vec::new(),
            public_jwk: jwk(id, json!({"kty": "oct", "k": base64url(SECRET)})),
        }
    }

    fn key(&self) -> VerificationKey {
        let id = Some(self.id.to_owned());
        match self.algorithm {
            Algorithm::Hs256 => VerificationKey::from_secret(id, SECRET),
            algorithm => VerificationKey::from_pem(id, algorithm, &self.public_pem),
        }
        .unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_with(
            &json!({"alg": self.algorithm.as_str(), "kid": self.id}),
            claims,
        )
    }

    fn sign_with(&self, header: &Value, claims: &Value) -> String {
        signed(header, claims, &self.signing)
    }
}

fn signed(header: &Value, claims: &Value, by: &Signing) -> String {
    let message = format!(
        "{}.{}",
        base64url(header.to_string()),
        base64url(claims.to_string())
    );
    let signature = base64url(by.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn all_issuers() -> [Issuer; 4] {
    [
        Issuer::ed25519("ed"),
        Issuer::p256("ec"),
        Issuer::rsa("rsa"),
        Issuer::hmac("hs"),
    ]
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// Seconds since 1970, so many seconds from now.
fn at(offset: i64) -> i64 {
    1_800_000_000 + offset
}

fn claims() -> Value {
    json!({"sub": "ann", "aud": AUDIENCE, "exp": at(3_600), "roles": ["reader"]})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn policy(keys: impl IntoIterator<Item = VerificationKey>) -> AuthPolicy {
    let reader = Role::new([RightRule::new([Permission::Read], ["user.{sub}:*"])]).unwrap();
    AuthPolicy::new()
        .keys(KeySet::new(keys).unwrap(), AUDIENCE)
        .role("reader", reader)
}

fn authenticator(issuer: &Issuer) -> Authenticator {
    Authenticator::new(policy([issuer.key()]))
}

fn refusal(authenticator: &Authenticator, token: &str) -> &'static str {
    authenticator.verify(token, now()).unwrap_err().code()
}

fn may_read(subject: &Subject, stream: &str) -> bool {
    let mut read = Operation::ReadLatest {
        stream: stream.into(),
        count: 1,
    };
    subject.rights.permit_operation(&mut read, "").is_ok()
}

/// A token whose header and claims are these, with another's signature.
fn forged(header: &Value, claims: &Value, signature: &str) -> String {
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", text(header), text(claims))
}

#[test]
fn a_token_of_each_algorithm_names_its_subject_and_its_rights() {
    for issuer in all_issuers() {
        let authenticator = authenticator(&issuer);
        for _ in 0..2 {
            let subject = authenticator
                .verify(&issuer.sign(&claims()), now())
                .unwrap();
            assert_eq!(subject.name.as_deref(), Some("ann"), "{}", issuer.algorithm);
            assert!(may_read(&subject, "user.ann:inbox"));
            assert!(!may_read(&subject, "user.bob.inbox"));
            assert_eq!(subject.token.key_id.as_deref(), Some(issuer.id));
        }
    }
}

#[test]
fn keys_come_from_a_json_web_key_set() {
    let issuers = all_issuers();
    let jwks = json!({"keys": issuers.iter().map(|i| &i.public_jwk).collect::<Vec<_>>()});
    let keys = KeySet::from_jwks(jwks.to_string().as_bytes()).unwrap();
    let source = JwksSource::new("https://issuer.example/keys").unwrap();
    let policy = policy([]).jwks(source.clone(), AUDIENCE);
    let authenticator = Authenticator::new(policy);
    let token = issuers[0].sign(&claims());
    assert_eq!(refusal(&authenticator, &token), "token_keys_unavailable");
    authenticator.set_fetched_keys(keys, source.clone());
    for issuer in &issuers[..3] {
        authenticator
            .verify(&issuer.sign(&claims()), now())
            .unwrap();
    }
    let secret = issuers[3].sign(&claims());
    assert_eq!(
        refusal(&authenticator, &secret),
        "token_key_unknown",
        "no secret is fetched"
    );
    assert!(!authenticator.forget_keys_of_others(&source));
    let other = JwksSource::new("https://other.example/keys").unwrap();
    assert!(authenticator.forget_keys_of_others(&other));
    assert_eq!(
        refusal(&authenticator, &token),
        "token_keys_unavailable",
        "the key has gone"
    );
}

#[test]
fn a_key_for_encryption_verifies_no_token() {
    let mut issuer = Issuer::ed25519("ed");
    issuer.public_jwk["use"] = json!("enc");
    let jwks = json!({"keys": [issuer.public_jwk]}).to_string();
    assert!(KeySet::from_jwks(jwks.as_bytes()).is_err());
}

#[test]
fn unsigned_tokens_are_refused() {
    let issuer = Issuer::ed25519("ed");
    let authenticator = authenticator(&issuer);
    for none in ["none", "None", "NONE"] {
        let token = forged(&json!({"alg": none, "kid": "ed"}), &claims(), "");
        assert_eq!(refusal(&authenticator, &token), "token_unsigned");
    }
}

#[test]
fn the_algorithm_is_that_of_the_key() {
    // The public key as a secret: the classic confusion of RS256 and HS256.
    for issuer in [Issuer::rsa("k"), Issuer::p256("k"), Issuer::ed25519("k")] {
        let authenticator = authenticator(&issuer);
        let confused = Signing::Hmac(hmac::Key::new(hmac::HMAC_SHA256, &issuer.public_pem));
        let token = signed(&json!({"alg": "HS256", "kid": "k"}), &claims(), &confused);
        assert_eq!(refusal(&authenticator, &token), "token_algorithm_wrong");
    }
    let hmac = authenticator(&Issuer::hmac("k"));
    let other = Issuer::ed25519("k").sign(&claims());
    assert_eq!(refusal(&hmac, &other), "token_algorithm_wrong");
    let unknown = forged(&json!({"alg": "HS512", "kid": "k"}), &claims(), "c2ln");
    assert_eq!(refusal(&hmac, &unknown), "token_algorithm_unknown");
}

#[test]
fn a_signature_of_another_key_or_of_other_claims_is_refused() {
    let issuer = Issuer::ed25519("ed");
    let authenticator = authenticator(&issuer);
    let other = Issuer::ed25519("ed").sign(&claims());
    assert_eq!(refusal(&authenticator, &other), "token_signature");
    let token = issuer.sign(&claims());
    let signature = token.rsplit('.').next().unwrap();
    let header = json!({"alg": "EdDSA", "kid": "ed"});
    let changed = forged(&header, &with("sub", json!("root")), signature);
    assert_eq!(refusal(&authenticator, &changed), "token_signature");
    assert_eq!(
        refusal(&authenticator, &forged(&header, &claims(), "")),
        "token_signature"
    );
}

#[test]
fn the_key_is_the_one_that_the_token_names() {
    let (first, second) = (Issuer::ed25519("first"), Issuer::ed25519("second"));
    let both = Authenticator::new(policy([first.key(), second.key()]));
    both.verify(&second.sign(&claims()), now()).unwrap();
    let unknown = Issuer::ed25519("third").sign(&claims());
    assert_eq!(refusal(&both, &unknown), "token_key_unknown");
    let nameless = first.sign_with(&json!({"alg": "EdDSA"}), &claims());
    assert_eq!(refusal(&both, &nameless), "token_key_missing");
    authenticator(&first).verify(&nameless, now()).unwrap();
}

#[test]
fn every_required_claim_is_required() {
    let issuer = Issuer::hmac("hs");
    let authenticator = Authenticator::new(policy([issuer.key()]).issuer("https://issuer"));
    let good = with("iss", json!("https://issuer"));
    authenticator.verify(&issuer.sign(&good), now()).unwrap();
    let change = |name: &str, value: Value| {
        let mut claims = good.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value;
        }
        refusal(&authenticator, &issuer.sign(&claims))
    };
    assert_eq!(change("sub", Value::Null), "token_claim_missing");
    assert_eq!(change("sub", json!("")), "token_claim_invalid");
    assert_eq!(change("sub", json!(7)), "token_claim_missing");
    assert_eq!(change("sub", json!("x".repeat(300))), "token_claim_invalid");
    assert_eq!(change("exp", Value::Null), "token_claim_missing");
    assert_eq!(change("exp", json!("soon")), "token_claim_invalid");
    assert_eq!(change("exp", json!(-1)), "token_claim_invalid");
    assert_eq!(change("exp", json!(1e300)), "token_claim_invalid");
    assert_eq!(change("nbf", json!("x")), "token_claim_invalid");
    assert_eq!(change("aud", Value::Null), "token_claim_missing");
    assert_eq!(change("aud", json!("other")), "token_audience");
    assert_eq!(change("aud", json!(["other"])), "token_audience");
    assert_eq!(change("iss", Value::Null), "token_issuer");
    assert_eq!(change("iss", json!("https://other")), "token_issuer");
    assert_eq!(change("roles", json!(7)), "token_claim_invalid");
    let several = with("iss", json!("https://issuer"));
    let mut several = several;
    several["aud"] = json!(["other", AUDIENCE]);
    authenticator.verify(&issuer.sign(&several), now()).unwrap();
}

#[test]
fn a_token_is_valid_between_its_times_and_the_leeway() {
    let issuer = Issuer::hmac("hs");
    let authenticator = authenticator(&issuer);
    let verdict = |claims: Value| {
        let result = authenticator.verify(&issuer.sign(&claims), now());
        result.map_or_else(|error| error.code(), |_| "ok")
    };
    assert_eq!(verdict(with("exp", json!(at(-29)))), "ok");
    assert_eq!(verdict(with("exp", json!(at(-30)))), "token_expired");
    assert_eq!(verdict(with("exp", json!(0))), "token_expired");
    assert_eq!(verdict(with("nbf", json!(at(30)))), "ok");
    assert_eq!(verdict(with("nbf", json!(at(31)))), "token_not_yet_valid");
    assert_eq!(verdict(with("exp", json!(at(86_400)))), "ok");
    assert_eq!(
        verdict(with("exp", json!(at(90_000)))),
        "token_life_too_long"
    );
}

#[test]
fn a_verified_token_still_ends() {
    let issuer = Issuer::hmac("hs");
    let authenticator = authenticator(&issuer);
    let token = issuer.sign(&claims());
    authenticator.verify(&token, now()).unwrap();
    let later = now() + Duration::from_secs(3_600 + 30);
    let error = authenticator.verify(&token, later).unwrap_err();
    assert_eq!(error.code(), "token_expired");
}

#[test]
fn what_is_no_token_is_refused() {
    let authenticator = authenticator(&Issuer::hmac("hs"));
    assert_eq!(refusal(&authenticator, ""), "token_missing");
    let long = "x".repeat(64 * 1024);
    assert_eq!(refusal(&authenticator, &long), "token_too_long");
    for malformed in [
        "x",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "..",
        "e30.e30.",
        "é.é.é",
        "W10.e30.c2ln",
    ] {
        assert_eq!(
            refusal(&authenticator, malformed),
            "token_malformed",
            "{malformed}"
        );
    }
    let critical = json!({"alg": "HS256", "kid": "hs", "crit": ["exp"], "exp": 1});
    let token = forged(&critical, &claims(), "c2ln");
    assert_eq!(refusal(&authenticator, &token), "token_malformed");
}

#[test]
fn a_static_token_is_found_by_its_hash() {
    let token = "0123456789abcdef0123456789abcdef";
    let policy = policy([]).static_tokens([StaticToken {
        subject: "ci".to_owned(),
        sha256: TokenDigest::of(token).0,
        roles: vec!["reader".to_owned()],
    }]);
    policy.validate().unwrap();
    let authenticator = Authenticator::new(policy);
    let subject = authenticator.verify(token, now()).unwrap();
    assert_eq!(subject.name.as_deref(), Some("ci"));
    assert!(may_read(&subject, "user.ci:x"));
    assert_eq!(subject.token.expires_at, None);
    assert_eq!(
        refusal(&authenticator, "0123456789abcdef0123456789abcdeF"),
        "token_malformed"
    );
}

#[test]
fn anonymous_clients_have_the_role_that_the_policy_names() {
    assert!(Authenticator::new(policy([])).anonymous().is_none());
    let public = Role::new([RightRule::new(
        [Permission::Read],
        ["public.*", "user.{sub}"],
    )]);
    let policy = policy([])
        .role("public", public.unwrap())
        .anonymous("public");
    let authenticator = Authenticator::new(policy);
    let anonymous = authenticator.anonymous().unwrap();
    assert!(may_read(anonymous, "public.news"));
    assert!(!may_read(anonymous, "user."));
    assert_eq!(anonymous.name, None);
}

#[test]
fn a_role_that_does_not_exist_is_an_error_of_the_policy_and_no_right_of_a_token() {
    let issuer = Issuer::hmac("hs");
    let error = policy([]).anonymous("nobody").validate().unwrap_err();
    assert!(error.to_string().contains("'nobody'"), "{error}");
    let token = issuer.sign(&with("roles", json!(["admin"])));
    let subject = authenticator(&issuer).verify(&token, now()).unwrap();
    assert!(!may_read(&subject, "user.ann:inbox"));
}

#[test]
fn roles_may_be_a_text_of_several_words() {
    let issuer = Issuer::hmac("hs");
    let token = issuer.sign(&with("roles", json!("admin reader")));
    let subject = authenticator(&issuer).verify(&token, now()).unwrap();
    assert!(may_read(&subject, "user.ann:inbox"));
    let none = issuer.sign(&without("roles"));
    let subject = authenticator(&issuer).verify(&none, now()).unwrap();
    assert!(!may_read(&subject, "user.ann:inbox"));
}

#[test]
fn revoked_tokens_are_refused_though_they_were_verified_before() {
    let issuer = Issuer::hmac("hs");
    let authenticator = authenticator(&issuer);
    let token = |iat: Option<i64>| {
        let mut claims = with("jti", json!("t-1"));
        if let Some(iat) = iat {
            claims["iat"] = json!(iat);
        }
        issuer.sign(&claims)
    };
    let (old, new, undated) = (token(Some(at(-10))), token(Some(at(-1))), token(None));
    let before = now() - Duration::from_secs(5);
    for revocation in [
        Revocation::subject("ann"),
        Revocation::TokenId("t-1".to_owned()),
        Revocation::Key("hs".to_owned()),
        Revocation::All,
    ] {
        authenticator.set_revoked(RevokedTokens::default());
        authenticator.verify(&old, now()).unwrap();
        let list = RevokedTokens::new([(revocation.clone(), before)]);
        assert!(authenticator.set_revoked(list.clone()));
        assert!(!authenticator.set_revoked(list), "nothing has changed");
        assert_eq!(
            refusal(&authenticator, &old),
            "token_revoked",
            "{revocation:?}"
        );
        assert_eq!(refusal(&authenticator, &undated), "token_revoked");
        authenticator.verify(&new, now()).unwrap();
    }
    let others = [
        Revocation::subject("bob"),
        Revocation::subject_of("https://issuer", "ann"),
        Revocation::TokenId("t-2".to_owned()),
        Revocation::Key("other".to_owned()),
    ];
    authenticator.set_revoked(RevokedTokens::new(others.map(|r| (r, now()))));
    authenticator.verify(&old, now()).unwrap();
}

#[test]
fn a_revocation_with_an_issuer_is_of_its_subject_alone() {
    let issuer = Issuer::hmac("hs");
    let authenticator = authenticator(&issuer);
    let token = |iss: Value| issuer.sign(&with("iss", iss));
    let list = [
        (Revocation::subject_of("https://a", "ann"), now()),
        (Revocation::subject_of("https://b", "bob"), now()),
    ];
    // As a list joins another, too.
    let (one, two) = (RevokedTokens::new(list.clone()), RevokedTokens::default());
    for list in [one.clone(), one.clone().and(&two), two.and(&one)] {
        assert_eq!((list.len(), list.issuers().count()), (2, 2));
        authenticator.set_revoked(list);
        assert_eq!(
            refusal(&authenticator, &token(json!("https://a"))),
            "token_revoked"
        );
        for other in [
            json!("https://b"),
            json!("https://a/"),
            json!(null),
            json!(""),
        ] {
            authenticator.verify(&token(other), now()).unwrap();
        }
    }
    // Without an issuer, it is of all that have the name.
    authenticator.set_revoked(RevokedTokens::new([(Revocation::subject("ann"), now())]));
    for any in [json!("https://a"), json!("https://b"), json!(null)] {
        assert_eq!(refusal(&authenticator, &token(any)), "token_revoked");
    }
}

#[test]
fn of_several_revocations_the_latest_counts_and_lists_can_be_joined() {
    let issuer = Issuer::hmac("hs");
    let authenticator = authenticator(&issuer);
    let token = issuer.sign(&with("iat", json!(at(-10))));
    let ann = |seconds| {
        let before = now() - Duration::from_secs(seconds);
        (Revocation::subject("ann"), before)
    };
    for order in [[5, 20], [20, 5]] {
        authenticator.set_revoked(RevokedTokens::new(order.map(ann)));
        assert_eq!(refusal(&authenticator, &token), "token_revoked");
        let [one, two] = order.map(|seconds| RevokedTokens::new([ann(seconds)]));
        authenticator.set_revoked(one.and(&two));
        assert_eq!(refusal(&authenticator, &token), "token_revoked");
    }
    let all = RevokedTokens::new([(Revocation::All, now())]);
    let both = RevokedTokens::new([ann(20)]).and(&all);
    assert_eq!((both.len(), all.is_empty()), (2, false));
    authenticator.set_revoked(both);
    assert_eq!(refusal(&authenticator, &token), "token_revoked");
}

/// A signed token with these bytes as its header and claims.
fn signed_text(issuer: &Issuer, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    let message = format!("{}.{}", base64url(header), base64url(claims));
    let signature = base64url(issuer.signing.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

#[test]
fn critical_extensions_and_names_that_stand_twice_are_refused() {
    let issuer = Issuer::hmac("hs");
    let authenticator = authenticator(&issuer);
    let header = r#"{"alg":"HS256","kid":"hs"}"#;
    let claims = claims().to_string();
    let valid = signed_text(&issuer, header, &claims);
    authenticator.verify(&valid, now()).unwrap();
    for header in [
        r#"{"alg":"HS256","kid":"hs","crit":null}"#,
        r#"{"alg":"HS256","kid":"hs","crit":[]}"#,
        r#"{"alg":"HS256","kid":"hs","crit":["exp"]}"#,
        r#"{"alg":"none","alg":"HS256","kid":"hs"}"#,
        r#" ["HS256","hs"]"#,
    ] {
        let token = signed_text(&issuer, header, &claims);
        assert_eq!(
            refusal(&authenticator, &token),
            "token_malformed",
            "{header}"
        );
    }
    let twice = claims.replacen('{', r#"{"sub":"bob","#, 1);
    let token = signed_text(&issuer, header, &twice);
    assert_eq!(refusal(&authenticator, &token), "token_malformed");
}

#[test]
fn text_that_is_not_utf8_is_refused_even_where_nobody_reads_it() {
    let issuer = Issuer::hmac("hs");
    let authenticator = authenticator(&issuer);
    let header = br#"{"alg":"HS256","kid":"hs","typ":"#;
    let (header, claims) = (header.as_slice(), claims().to_string());
    let valid = [header, br#""JWT"}"#].concat();
    authenticator
        .verify(&signed_text(&issuer, &valid, &claims), now())
        .unwrap();
    let not_utf8 = [header, b"\"J\xff\"}"].concat();
    let token = signed_text(&issuer, not_utf8, &claims);
    assert_eq!(refusal(&authenticator, &token), "token_malformed");
    let not_utf8 = [b"{\"x\":\"\xff\",", &claims.as_bytes()[1..]].concat();
    let token = signed_text(&issuer, valid, not_utf8);
    assert_eq!(refusal(&authenticator, &token), "token_malformed");
    let error = KeySet::from_jwks(b"{\"keys\":[],\"x\":\"\xff\"}").unwrap_err();
    assert!(error.to_string().contains("utf-8"), "{error}");
}

#[test]
fn keys_that_do_not_fit_are_refused() {
    assert!(VerificationKey::from_secret(None, b"short").is_err());
    let pem = Issuer::ed25519("k").public_pem;
    assert!(VerificationKey::from_pem(None, Algorithm::Hs256, &pem).is_err());
    assert!(VerificationKey::from_pem(None, Algorithm::Rs256, &pem).is_err());
    assert!(VerificationKey::from_pem(None, Algorithm::EdDsa, b"no PEM").is_err());
    let twice = [Issuer::hmac("k").key(), Issuer::hmac("k").key()];
    assert!(KeySet::new(twice).is_err());
    for jwks in [
        "",
        "[]",
        "{}",
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"RSA"}]}"#,
    ] {
        assert!(KeySet::from_jwks(jwks.as_bytes()).is_err(), "{jwks}");
    }
    let shown = format!("{:?}", Issuer::hmac("k").key());
    assert!(!shown.contains("secret"), "{shown}");
}
