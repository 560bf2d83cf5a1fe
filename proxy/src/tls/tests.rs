//! TLS settings from PEM, valid and not.

use std::time::{Duration, UNIX_EPOCH};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, date_time_ymd};

use super::*;

/// A self-signed certificate, and its key.
fn identity(key: KeyPair) -> (String, String) {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2001, 9, 9);
    params.not_after = date_time_ymd(2100, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn load(certificate: &str, key: &str, client_ca: Option<&str>) -> Result<TlsConfig, TlsError> {
    let client_ca = client_ca.map(str::as_bytes);
    TlsConfig::from_pem(certificate.as_bytes(), key.as_bytes(), client_ca)
}

#[test]
fn a_certificate_and_its_key_are_settings_and_say_how_long() {
    let days = |days: u64| UNIX_EPOCH + Duration::from_secs(days * 24 * 60 * 60);
    for key in [
        KeyPair::generate().unwrap(),
        KeyPair::generate_for(&PKCS_ED25519).unwrap(),
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
    ] {
        let (certificate, key) = identity(key);
        let config = load(&certificate, &key, None).unwrap();
        assert_eq!(config.valid_from(), Some(days(11_574)));
        // A time after 2049 has another form.
        assert_eq!(config.expires_at(), Some(days(47_482)));
        assert!(!config.needs_client_certificate());
        assert!(
            load(&certificate, &key, Some(&certificate))
                .unwrap()
                .needs_client_certificate()
        );
    }
}

#[test]
fn an_error_names_the_part_and_quotes_nothing_of_a_key() {
    let (certificate, key) = identity(KeyPair::generate().unwrap());
    let (_, other_key) = identity(KeyPair::generate().unwrap());
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let cut_off = &key[..key.len() - 40];
    let garbage = key.replace("MIG", "AAA");
    for (certificate, key, client_ca, part, why) in [
        (
            &*certificate,
            &*other_key,
            None,
            TlsPart::Key,
            "does not belong to the certificate",
        ),
        (
            &certificate,
            &certificate,
            None,
            TlsPart::Key,
            "no private key",
        ),
        (&certificate, &encrypted, None, TlsPart::Key, "encrypted"),
        (&certificate, cut_off, None, TlsPart::Key, "not valid PEM"),
        (
            &certificate,
            &garbage,
            None,
            TlsPart::Key,
            "no RSA, ECDSA or Ed25519 key",
        ),
        ("", &key, None, TlsPart::Certificate, "no certificate"),
        (&key, &key, None, TlsPart::Certificate, "no certificate"),
        (
            &certificate,
            &key,
            Some(""),
            TlsPart::ClientCa,
            "no certificate",
        ),
        (
            &certificate,
            &key,
            Some(&key),
            TlsPart::ClientCa,
            "no certificate",
        ),
    ] {
        let error = load(certificate, key, client_ca).unwrap_err();
        assert_eq!(error.part(), part, "{error}");
        assert!(error.reason().contains(why), "{why} in {error}");
    }
    let debug = format!("{:?}", load(&certificate, &key, None).unwrap());
    assert!(!debug.contains("key"), "{debug}");
}
