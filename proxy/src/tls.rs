//! TLS of the listener: a certificate, its key, and whom the server lets in by their certificates.
//!
//! rustls speaks TLS 1.2 and 1.3, with ring as its cryptography, as tokens have. A listener takes
//! the settings that are in force when a client begins its handshake, so a renewed certificate drops
//! no socket.

mod validity;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};

use self::validity::Validity;

/// Bytes that TLS keeps for an idle socket: the state of the connection and a buffer to read into.
pub(crate) const IDLE_TLS_BYTES: usize = 8 * 1024;

/// Bytes that a socket may hand to TLS before the system has taken them.
pub(crate) const MAX_UNSENT_TLS_BYTES: usize = 16 * 1024;

/// The only protocol above TLS (RFC 7301): WebSockets begin with HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";

/// The TLS settings of a listener.
///
/// ```no_run
/// use streamgate::{Config, TlsConfig};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let certificate = std::fs::read("cert.pem")?;
/// let key = std::fs::read("key.pem")?;
/// let config = Config::default().tls(TlsConfig::from_pem(&certificate, &key, None)?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TlsConfig {
    server: Arc<ServerConfig>,
    validity: Option<Validity>,
    needs_client_certificate: bool,
}

/// The part of the TLS settings that is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsPart {
    /// The certificate of the server, with those of intermediate authorities after it.
    Certificate,
    /// The private key of the certificate.
    Key,
    /// The certificates of the authorities that clients' certificates must come from.
    ClientCa,
}

/// Why TLS settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsError {
    part: TlsPart,
    why: String,
}

impl TlsConfig {
    /// Builds the settings from PEM: the certificate of the server, followed by those of
    /// intermediate authorities; its key; and, if every client needs a certificate too, those of the
    /// authorities that may issue them.
    ///
    /// # Errors
    ///
    /// If one of them is no such PEM, or the key does not belong to the certificate. An expired
    /// certificate is no error: see [`expires_at`](Self::expires_at).
    pub fn from_pem(
        certificates: &[u8],
        key: &[u8],
        client_ca: Option<&[u8]>,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates_of(TlsPart::Certificate, certificates)?;
        let validity = chain.first().and_then(Validity::of);
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            let why = match error {
                pem::Error::NoItemsFound => {
                    "it has no private key in PEM; an encrypted one must be decrypted before"
                        .to_owned()
                }
                // The error may quote the key.
                _ => "it is not valid PEM".to_owned(),
            };
            TlsError::new(TlsPart::Key, why)
        })?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            // ring has cipher suites for both.
            .map_err(|error| TlsError::new(TlsPart::Certificate, error))?;
        let builder = match client_ca {
            Some(pem) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(pem)?), provider)
                    .build()
                    .map_err(|error| TlsError::new(TlsPart::ClientCa, error))?,
            ),
            None => builder.with_no_client_auth(),
        };
        let mut server = builder.with_single_cert(chain, key).map_err(of_identity)?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        // Clients that come back need no signature, and the server keeps nothing for them.
        server.ticketer =
            ring::Ticketer::new().map_err(|error| TlsError::new(TlsPart::Key, error))?;
        Ok(Self {
            server: Arc::new(server),
            validity,
            needs_client_certificate: client_ca.is_some(),
        })
    }

    /// Returns when the certificate of the server expires; `None` if it does not say so in a way
    /// that the server understands.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.validity.map(|validity| validity.not_after)
    }

    /// Returns from when on the certificate of the server is valid; `None` as for
    /// [`expires_at`](Self::expires_at).
    pub fn valid_from(&self) -> Option<SystemTime> {
        self.validity.map(|validity| validity.not_before)
    }

    /// Returns whether every client needs a certificate.
    pub fn needs_client_certificate(&self) -> bool {
        self.needs_client_certificate
    }
}

/// Without the key.
impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("expires_at", &self.expires_at())
            .field("needs_client_certificate", &self.needs_client_certificate)
            .finish_non_exhaustive()
    }
}

impl TlsError {
    fn new(part: TlsPart, why: impl fmt::Display) -> Self {
        let why = why.to_string();
        Self { part, why }
    }

    /// Returns the part that is invalid.
    pub fn part(&self) -> TlsPart {
        self.part
    }

    /// Returns why it is invalid.
    pub fn reason(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            TlsPart::Certificate => "certificate",
            TlsPart::Key => "key",
            TlsPart::ClientCa => "client CA",
        };
        write!(f, "invalid {part}: {}", self.why)
    }
}

impl std::error::Error for TlsError {}

/// The settings in force of a listener that speaks TLS.
#[derive(Debug)]
pub(crate) struct CurrentTls(RwLock<TlsConfig>);

impl CurrentTls {
    pub(crate) fn new(config: TlsConfig) -> Self {
        Self(RwLock::new(config))
    }

    /// Replaces the settings for handshakes that begin from now on.
    pub(crate) fn replace(&self, config: TlsConfig) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let config = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&config.server)
    }

    pub(crate) fn expires_at(&self) -> Option<SystemTime> {
        let config = self.0.read().unwrap_or_else(PoisonError::into_inner);
        config.expires_at()
    }
}

fn certificates_of(part: TlsPart, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(TlsError::new(part, "it has no certificate in PEM"))
        }
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(TlsError::new(part, "it is not valid PEM")),
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_of(TlsPart::ClientCa, pem)? {
        let added = roots.add(certificate);
        added.map_err(|error| TlsError::new(TlsPart::ClientCa, error))?;
    }
    Ok(roots)
}

/// Says which of the certificate and the key an error is about.
fn of_identity(error: rustls::Error) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::new(TlsPart::Key, "it does not belong to the certificate")
        }
        // Of an unknown kind of key.
        rustls::Error::General(_) => {
            TlsError::new(TlsPart::Key, "it is no RSA, ECDSA or Ed25519 key")
        }
        error => TlsError::new(TlsPart::Certificate, error),
    }
}

#[cfg(test)]
mod tests;
