//! One request for a JSON Web Key Set: bounded in time and in bytes, without redirects.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::super::KeySet;
use super::JwksSource;

/// Longest time of a request, from the look-up of the host to the last byte.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes of a set: that of 100 RSA keys has 60 kB.
const MAX_BYTES: usize = 256 * 1024;

/// Most bytes of the head of a response.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// A set of keys, and what the issuer says of it.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) keys: KeySet,
    /// The set as it was sent: two that are equal are the same keys.
    pub(crate) json: Vec<u8>,
    /// For how long it is fresh, if the issuer says so.
    pub(crate) max_age: Option<Duration>,
}

/// Why a fetch failed, without anything that the issuer sent.
#[derive(Debug)]
pub(crate) struct FetchError {
    why: String,
    is_untrusted: bool,
}

impl FetchError {
    pub(super) fn new(why: impl fmt::Display) -> Self {
        Self {
            why: why.to_string(),
            is_untrusted: false,
        }
    }

    /// Returns whether no authority vouches for the issuer, which is no matter of waiting.
    pub(crate) fn is_untrusted(&self) -> bool {
        self.is_untrusted
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

pub(super) async fn fetch(source: &JwksSource) -> Result<Fetched, FetchError> {
    let fetched = tokio::time::timeout(source.timeout, request(source)).await;
    fetched.unwrap_or_else(|_| {
        let ms = source.timeout.as_millis();
        Err(FetchError::new(format_args!(
            "no whole answer within {ms} ms"
        )))
    })
}

async fn request(source: &JwksSource) -> Result<Fetched, FetchError> {
    let to_settings = source.clone();
    let settings = tokio::task::spawn_blocking(move || to_settings.client_settings()).await;
    let settings = settings.map_err(FetchError::new)??;
    let cannot = |what: &str, error: &dyn fmt::Display| {
        FetchError::new(format_args!("cannot {what} {}: {error}", source.host))
    };
    let stream = TcpStream::connect((&*source.host, source.port))
        .await
        .map_err(|error| cannot("connect to", &error))?;
    let name = ServerName::try_from(source.host.clone()).map_err(FetchError::new)?;
    let stream = TlsConnector::from(Arc::new(settings))
        .connect(name, stream)
        .await
        .map_err(|error| FetchError {
            is_untrusted: is_about_certificate(&error),
            ..cannot("speak TLS with", &error)
        })?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| cannot("speak HTTP with", &error))?;
    let exchange = async {
        let request = Request::get(
            source
                .uri
                .path_and_query()
                .map_or("/", |path| path.as_str()),
        )
        .header(
            header::HOST,
            source.uri.authority().map_or("", |a| a.as_str()),
        )
        .header(header::ACCEPT, "application/json")
        .header(header::CONNECTION, "close")
        .body(Body::empty())
        .map_err(FetchError::new)?;
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| cannot("get an answer from", &error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(FetchError::new(format_args!(
                "status {status}: redirects are refused; name the URL that it leads to"
            )));
        }
        if status != StatusCode::OK {
            return Err(FetchError::new(format_args!("status {status}")));
        }
        let max_age = max_age(response.headers());
        let body = to_bytes(Body::new(response.into_body()), MAX_BYTES).await;
        let json = body.map_err(|_| {
            FetchError::new(format_args!(
                "the set is cut off, or has more than {MAX_BYTES} bytes"
            ))
        })?;
        let keys = KeySet::from_jwks(&json).map_err(FetchError::new)?;
        let json = json.to_vec();
        Ok(Fetched {
            keys,
            json,
            max_age,
        })
    };
    // The connection moves the bytes of the exchange, and ends with it.
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        fetched = &mut exchange => fetched,
        _ = connection => exchange.await,
    }
}

fn is_about_certificate(error: &std::io::Error) -> bool {
    let source = error.get_ref().and_then(|source| source.downcast_ref());
    matches!(source, Some(rustls::Error::InvalidCertificate(_)))
}

/// Returns `max-age` of `Cache-Control` (RFC 9111).
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(header::CACHE_CONTROL).iter();
    let mut directives = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    directives.find_map(|directive| {
        let (name, seconds) = directive.trim().split_once('=')?;
        let is_max_age = name.eq_ignore_ascii_case("max-age");
        let seconds = is_max_age.then(|| seconds.trim_matches('"').parse().ok());
        seconds.flatten().map(Duration::from_secs)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_set_is_read_from_cache_control() {
        for (value, seconds) in [
            ("max-age=60", Some(60)),
            ("public, Max-Age=\"3600\", must-revalidate", Some(3600)),
            ("no-store", None),
            ("s-maxage=1", None),
            ("max-age=-1", None),
            ("max-age=99999999999999999999", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, value.parse().unwrap());
            assert_eq!(
                max_age(&headers),
                seconds.map(Duration::from_secs),
                "{value}"
            );
        }
    }
}
