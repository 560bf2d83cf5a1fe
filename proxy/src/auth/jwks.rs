//! The keys of an issuer, fetched from its JSON Web Key Set over https.
//!
//! The last good set stays in force, whatever a later fetch returns. The server fetches it again when
//! its `max-age` has passed, and when a token names a key that is unknown, though not at once after
//! another fetch: a flood of such tokens is no flood of fetches.

mod fetch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use axum::http::uri::Scheme;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(super) use self::fetch::{FetchError, Fetched};

/// Default of [`JwksSource::min_interval`].
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// Shortest and longest time for which a set is fresh, whatever the issuer says.
const FRESH: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(24 * 60 * 60);

/// Time for which a set is fresh if the issuer says nothing.
const FRESH_BY_DEFAULT: Duration = Duration::from_secs(5 * 60);

/// Pause after a fetch that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// Where the keys of an issuer are.
#[derive(Clone)]
pub struct JwksSource {
    uri: Uri,
    host: String,
    port: u16,
    /// The authorities that the issuer's certificate may come from, in PEM, beside those of the
    /// system.
    extra_ca: Option<Vec<u8>>,
    min_interval: Duration,
    timeout: Duration,
}

/// Why the keys of an issuer cannot be fetched from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksSourceError(String);

impl JwksSource {
    /// Names the URL of a JSON Web Key Set (RFC 7517). It must begin with `https://`: who can change
    /// the keys on their way can sign any token.
    ///
    /// # Errors
    ///
    /// If it is no such URL.
    pub fn new(url: &str) -> Result<Self, JwksSourceError> {
        let invalid = |why: &str| {
            JwksSourceError(format!(
                "invalid URL '{url}': {why}; give one such as \
                 https://issuer.example.com/.well-known/jwks.json"
            ))
        };
        let uri: Uri = url.parse().map_err(|_| invalid("it is no URL"))?;
        if uri.scheme() != Some(&Scheme::HTTPS) {
            return Err(invalid("it must begin with https://"));
        }
        let authority = uri.authority().map(|a| a.as_str()).unwrap_or_default();
        if authority.contains('@') {
            // Not quoted: it has a password.
            let why = "invalid URL: it must not have a user or a password";
            return Err(JwksSourceError(why.to_owned()));
        }
        let host = uri.host().unwrap_or_default();
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        if host.is_empty() {
            return Err(invalid("it has no host"));
        }
        Ok(Self {
            port: uri.port_u16().unwrap_or(443),
            host,
            uri,
            extra_ca: None,
            min_interval: MIN_INTERVAL,
            timeout: fetch::TIMEOUT,
        })
    }

    /// Adds authorities that the issuer's certificate may come from, in PEM. Default: those of the
    /// system alone.
    ///
    /// # Errors
    ///
    /// If it has no certificate.
    pub fn extra_ca(mut self, pem: &[u8]) -> Result<Self, JwksSourceError> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        if !certificates.is_ok_and(|certificates| !certificates.is_empty()) {
            let why = "the CA file has no certificate in PEM";
            return Err(JwksSourceError(why.to_owned()));
        }
        self.extra_ca = Some(pem.to_vec());
        Ok(self)
    }

    /// Sets the least time between two fetches, also if tokens name keys that are unknown. Default:
    /// 10 s.
    #[must_use]
    pub fn min_interval(mut self, interval: Duration) -> Self {
        self.min_interval = interval;
        self
    }

    /// Sets the longest time that a fetch may take. Default: 10 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Returns the URL.
    pub fn url(&self) -> String {
        self.uri.to_string()
    }

    /// Returns the settings of the connections to the issuer. Blocks while it reads the system's
    /// authorities.
    fn client_settings(&self) -> Result<ClientConfig, FetchError> {
        let mut roots = RootCertStore::empty();
        // Some systems have none that are valid, and an extra one may be enough.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let extra = self.extra_ca.as_deref().unwrap_or_default();
        for certificate in CertificateDer::pem_slice_iter(extra).flatten() {
            roots.add(certificate).map_err(FetchError::new)?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(FetchError::new)?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

/// Two sources are the same if they trust the same keys.
impl PartialEq for JwksSource {
    fn eq(&self, other: &Self) -> bool {
        self.uri == other.uri && self.extra_ca == other.extra_ca
    }
}

impl fmt::Debug for JwksSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JwksSource").field(&self.uri).finish()
    }
}

impl fmt::Display for JwksSourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JwksSourceError {}

/// Decides when to fetch.
#[derive(Debug)]
pub(crate) struct FetchSchedule {
    /// When the last fetch began, and until when its result is good.
    last: Option<(Instant, Instant)>,
    /// Whether a token has named an unknown key since.
    is_asked: bool,
    min_interval: Duration,
}

impl FetchSchedule {
    pub(crate) fn new(source: &JwksSource) -> Self {
        let min_interval = source.min_interval;
        Self {
            last: None,
            is_asked: false,
            min_interval,
        }
    }

    /// Records a fetch that began at a time, and for how long the issuer says the set is fresh;
    /// `None` if the fetch failed.
    pub(crate) fn fetched(&mut self, began: Instant, fresh: Option<Option<Duration>>) {
        let pause = match fresh {
            Some(fresh) => {
                let fresh = fresh.unwrap_or(FRESH_BY_DEFAULT);
                fresh.clamp(*FRESH.start(), *FRESH.end())
            }
            None => RETRY_PAUSE,
        };
        self.last = Some((began, began + pause));
        self.is_asked = false;
    }

    /// Returns when it is time for the next fetch: when the set is no longer fresh, or when a token
    /// has named an unknown key and the last fetch is not too recent.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no notice is lost.
    pub(crate) async fn due(&mut self, unknown_key: &Notify) {
        let Some((began, fresh_until)) = self.last else {
            return;
        };
        let (is_asked, min_interval) = (&mut self.is_asked, self.min_interval);
        let asked = async {
            if !*is_asked {
                unknown_key.notified().await;
                *is_asked = true;
            }
            tokio::time::sleep_until(began + min_interval).await;
        };
        tokio::select! {
            () = asked => {}
            () = tokio::time::sleep_until(fresh_until) => {}
        }
    }
}

/// Fetches the set once.
pub(crate) async fn fetch(source: &JwksSource) -> Result<Fetched, FetchError> {
    fetch::fetch(source).await
}

#[cfg(test)]
mod tests;
