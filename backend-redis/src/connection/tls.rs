//! TLS to Redis: whom it trusts, how it shows who it is, and what to do if it fails.
//!
//! rustls with ring, as everywhere in this workspace. Files are read for each connection, so that a
//! certificate that was replaced is used from the next one on. The system's root certificates are
//! read once.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use redis::{ErrorKind, RedisError};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, RootCertStore};
use streamgate_protocol::{CacheError, CacheResult};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The files of TLS, in PEM.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsFiles {
    /// Certificates of the authorities that Redis's certificate must come from; those of the system
    /// if absent.
    pub(crate) ca: Option<PathBuf>,
    /// A client certificate, and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// Speaks TLS.
#[derive(Debug)]
pub(super) struct TlsSettings {
    pub(super) files: TlsFiles,
    system_roots: OnceLock<Arc<RootCertStore>>,
}

impl TlsFiles {
    pub(super) const fn is_empty(&self) -> bool {
        self.ca.is_none() && self.identity.is_none()
    }
}

impl TlsSettings {
    pub(super) const fn new(files: TlsFiles) -> Self {
        Self {
            files,
            system_roots: OnceLock::new(),
        }
    }

    /// Makes the handshake with a server whose certificate must have this name.
    pub(super) async fn connect(
        self: &Arc<Self>,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, RedisError> {
        let name = server_name(host)
            .ok_or_else(|| setting(&format!("no certificate can have the name '{host}'")))?;
        let settings = Arc::clone(self);
        let config = tokio::task::spawn_blocking(move || settings.client_config()).await;
        let config = config.map_err(io::Error::other)?;
        let config = config.map_err(|error| setting(error.message()))?;
        let connector = TlsConnector::from(Arc::new(config));
        let connecting = connector.connect(name, stream);
        connecting.await.map_err(into_redis_error)
    }

    /// Reads the files.
    ///
    /// # Errors
    ///
    /// `CONFIG` if one of them cannot be used.
    pub(super) fn client_config(&self) -> CacheResult<ClientConfig> {
        let roots = match &self.files.ca {
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    let added = roots.add(certificate);
                    added.map_err(|error| invalid(path, &error.to_string()))?;
                }
                Arc::new(roots)
            }
            None => self.system_roots()?,
        };
        // The provider is named, so that no other crate of the application chooses it.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| CacheError::ConfigError(error.to_string()))?
            .with_root_certificates(roots);
        let Some((certificate, key_file)) = &self.files.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(certificate)?;
        // The parser's error may quote the key.
        let key = PrivateKeyDer::from_pem_slice(&read(key_file)?).map_err(|_| {
            invalid(
                key_file,
                "it has no private key in PEM that is not encrypted",
            )
        })?;
        let config = builder.with_client_auth_cert(chain, key);
        config.map_err(|error| {
            let why = format!("it does not fit its key {}: {error}", key_file.display());
            invalid(certificate, &why)
        })
    }

    /// Ignores certificates that cannot be parsed: systems have such, which no server needs.
    fn system_roots(&self) -> CacheResult<Arc<RootCertStore>> {
        if let Some(roots) = self.system_roots.get() {
            return Ok(Arc::clone(roots));
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(CacheError::ConfigError(
                "this system has no root certificates; install them (Debian: ca-certificates), or \
                 name the file of Redis's CA (`ca_file`, `--redis-ca`)"
                    .to_owned(),
            ));
        }
        Ok(Arc::clone(
            self.system_roots.get_or_init(|| Arc::new(roots)),
        ))
    }
}

/// Returns a host as certificates name it; `None` if none can.
pub(super) fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).ok()
}

/// Converts an error of a stream. One that only another setting mends is an
/// [`InvalidClientConfig`](ErrorKind::InvalidClientConfig), whose detail says which.
pub(super) fn into_redis_error(error: io::Error) -> RedisError {
    let source = error.get_ref().and_then(|source| source.downcast_ref());
    match source.and_then(remedy) {
        Some(remedy) => setting(&remedy),
        None => error.into(),
    }
}

/// Returns what a setting has to be instead, if an error is about one.
pub(super) fn setting_error(error: &RedisError) -> Option<&str> {
    let is_setting = error.kind() == ErrorKind::InvalidClientConfig;
    is_setting.then(|| error.detail()).flatten()
}

fn setting(remedy: &str) -> RedisError {
    let remedy = remedy.to_owned();
    RedisError::from((ErrorKind::InvalidClientConfig, "TLS failed", remedy))
}

fn remedy(error: &Error) -> Option<String> {
    let alert = match error {
        Error::InvalidCertificate(why) => return Some(certificate_remedy(why)),
        Error::InvalidMessage(_) => {
            return Some(
                "it does not speak TLS there; name its TLS port, or write redis:// for a \
                 connection without TLS"
                    .to_owned(),
            );
        }
        Error::AlertReceived(alert) => alert,
        _ => return None,
    };
    use AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired => Some(
            "it requires a client certificate; name its file and that of its key \
             (`client_certificate_files`, `--redis-certificate` and `--redis-key`)"
                .to_owned(),
        ),
        // TLS 1.2 has no alert of its own for a missing certificate.
        Alert::HandshakeFailure => Some(
            "it refuses the handshake of TLS; it may require a client certificate \
             (`client_certificate_files`, `--redis-certificate` and `--redis-key`)"
                .to_owned(),
        ),
        Alert::UnknownCA
        | Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::DecryptError
        | Alert::AccessDenied => Some(format!(
            "it refuses the client certificate ({alert:?}); use one that its CA has issued and that \
             is valid"
        )),
        _ => None,
    }
}

fn certificate_remedy(why: &CertificateError) -> String {
    match why {
        // A CA of the same name, and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is signed by no CA that is trusted; name the file of its CA \
             (`ca_file`, `--redis-ca`)"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("its certificate is for another name; use a name that it has: {why}")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("its certificate has expired; renew it: {why}")
        }
        _ => format!("its certificate is invalid: {why}"),
    }
}

fn certificates(path: &Path) -> CacheResult<Vec<CertificateDer<'static>>> {
    let pem = read(path)?;
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match parsed {
        Ok(certificates) if certificates.is_empty() => {
            Err(invalid(path, "it has no certificate in PEM"))
        }
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(invalid(path, "it is not valid PEM")),
    }
}

fn read(path: &Path) -> CacheResult<Vec<u8>> {
    std::fs::read(path).map_err(|error| invalid(path, &error.to_string()))
}

fn invalid(path: &Path, why: &str) -> CacheError {
    let path = path.display();
    CacheError::ConfigError(format!("cannot use {path} for TLS to Redis: {why}"))
}
