//! TLS of the native client: whom it trusts, and how it shows who it is.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};

/// The settings of TLS, in PEM.
#[derive(Clone, Default)]
pub(super) struct TlsSettings {
    pub(super) root_certificates: Option<Vec<u8>>,
    pub(super) identity: Option<Vec<u8>>,
}

impl TlsSettings {
    /// Returns what a connection needs. Reads the system's root certificates, which takes some
    /// milliseconds.
    pub(super) fn client_config(&self) -> Result<Arc<ClientConfig>, String> {
        let roots = match &self.root_certificates {
            Some(pem) => given_roots(pem)?,
            None => system_roots()?,
        };
        // The provider is named, so that no other crate of the application chooses it.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            Some(pem) => {
                let chain = certificates(pem, "the client's identity")?;
                // The parser's error may quote the key.
                let key = PrivateKeyDer::from_pem_slice(pem)
                    .map_err(|_| "the client's identity has no private key in PEM")?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("the client's identity is invalid: {error}"))?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn given_roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, "the root certificates")? {
        roots
            .add(certificate)
            .map_err(|error| format!("a root certificate is invalid: {error}"))?;
    }
    Ok(roots)
}

/// Ignores certificates that cannot be parsed: systems have such, which no server needs.
fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(format!(
            "this system has no root certificates {:?}; install them (Debian: ca-certificates), or \
             name the server's CA with `root_certificates`",
            found.errors
        ));
    }
    Ok(roots)
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match parsed {
        Ok(certificates) if certificates.is_empty() => {
            Err(format!("{what} have no certificate in PEM"))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("{what} are not PEM: {error}")),
    }
}

/// Says what is wrong with a server's certificate, if that is why a connection failed.
pub(super) fn describe(error: &std::io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    let Error::InvalidCertificate(why) = error else {
        return Some(format!("TLS failed: {error}"));
    };
    Some(match why {
        // A CA of the same name, and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the server's certificate is signed by no CA that this client trusts; name its CA with \
             `root_certificates`"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the server's certificate is for another name: {why}")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the server's certificate has expired: {why}")
        }
        _ => format!("the server's certificate is invalid: {why}"),
    })
}
