//! Which pages may use the server, and by which names clients may reach it.
//!
//! Browsers let any page open a WebSocket to any server, and say in `Origin` which page it is. A page
//! can also point a name of its own to this machine (DNS rebinding): then its `Origin` and the `Host`
//! agree, and only the name is wrong. Clients that are no pages send no `Origin`.

use std::fmt;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};

use crate::admin_host;

/// Allows every origin, or every host.
const ANY: &str = "*";

/// The way in which a request has reached the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReachedBy {
    /// Whether the listener is on a loopback address.
    pub(crate) loopback: bool,
    /// Whether the listener speaks TLS.
    pub(crate) tls: bool,
}

/// Which pages may use the server, and by which names clients may reach it.
///
/// Pages of the server's own origin may always use it. So may clients that are no pages. A listener
/// on a loopback address is reached by addresses, as `localhost`, and by the names added here.
///
/// ```
/// use streamgate::{Config, Origins};
///
/// let origins = Origins::new()
///     .allow_origin("https://app.example.com")?
///     .public_origin("https://streams.example.com")?;
/// let config = Config::default().origins(origins);
/// # Ok::<(), streamgate::OriginError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    any_origin: bool,
    origins: Vec<Origin>,
    public_origin: Option<Origin>,
    any_host: bool,
    hosts: Vec<String>,
}

/// Why an origin or a host cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginError(String);

/// An origin (RFC 6454): scheme, host and port, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origins {
    /// Allows pages of the server's own origin alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows pages of an origin, such as `https://app.example.com`; `*` allows all pages.
    ///
    /// # Errors
    ///
    /// If it is no origin.
    pub fn allow_origin(mut self, origin: &str) -> Result<Self, OriginError> {
        if origin == ANY {
            self.any_origin = true;
        } else {
            self.origins.push(Origin::parse(origin)?);
        }
        Ok(self)
    }

    /// Allows clients to reach the server by a name; `*` allows all names. On a listener beyond
    /// loopback all names are allowed until the first is added.
    ///
    /// # Errors
    ///
    /// If it is no name, or has a port.
    pub fn allow_host(mut self, host: &str) -> Result<Self, OriginError> {
        if host == ANY {
            self.any_host = true;
            return Ok(self);
        }
        let authority = host.parse::<Authority>().ok();
        if authority.is_none_or(|authority| authority.host() != host) {
            return Err(OriginError(format!(
                "invalid host '{host}': it must be a name without a port, such as \
                 streams.example.com"
            )));
        }
        self.hosts.push(host.to_owned());
        Ok(self)
    }

    /// Sets the origin by which browsers know the server if a proxy in front changes the scheme or
    /// the host. Its pages may use the server, and its host is a name of the server.
    ///
    /// # Errors
    ///
    /// If it is no origin.
    pub fn public_origin(mut self, origin: &str) -> Result<Self, OriginError> {
        self.public_origin = Some(Origin::parse(origin)?);
        Ok(self)
    }

    /// Returns whether a request by this `Host` is for this server.
    pub(crate) fn permit_host(&self, host: &[u8], reached_by: Option<ReachedBy>) -> bool {
        let on_loopback = reached_by.is_some_and(|by| by.loopback);
        if self.any_host || (!on_loopback && self.hosts.is_empty()) {
            return true;
        }
        self.is_name(host)
    }

    /// Returns whether a `Host` is an address, `localhost`, or a name that was added.
    fn is_name(&self, host: &[u8]) -> bool {
        let public = self.public_origin.as_ref().map(|origin| &*origin.host);
        let names = self.hosts.iter().map(String::as_str).chain(public);
        self.any_host || admin_host::is_known(host, names)
    }

    /// Returns whether a page of the server's own name is its own: without TLS, a page can point any
    /// name to the server, but not one of the server's.
    fn trusts_own_name(&self, headers: &HeaderMap, reached_by: Option<ReachedBy>) -> bool {
        match (reached_by, headers.get(header::HOST)) {
            (Some(ReachedBy { tls: false, .. }), Some(host)) => self.is_name(host.as_bytes()),
            _ => true,
        }
    }

    /// Returns whether the page that makes a request may use the server.
    pub(crate) fn permit_page(&self, headers: &HeaderMap, reached_by: Option<ReachedBy>) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let origin = match (origins.next(), origins.next()) {
            (None, _) => return true,
            _ if self.any_origin => return true,
            (Some(origin), None) => origin.to_str().ok(),
            // Browsers send one.
            (Some(_), Some(_)) => None,
        };
        let Some(origin) = origin.and_then(|origin| Origin::parse(origin).ok()) else {
            return false;
        };
        let mut allowed = self.origins.iter().chain(&self.public_origin);
        allowed.any(|allowed| *allowed == origin)
            || (is_own(&origin, headers, reached_by) && self.trusts_own_name(headers, reached_by))
    }
}

/// Returns whether an origin is that of the server itself, by the name of the request.
fn is_own(origin: &Origin, headers: &HeaderMap, reached_by: Option<ReachedBy>) -> bool {
    let scheme = match reached_by {
        Some(ReachedBy { tls: true, .. }) => "https",
        Some(ReachedBy { tls: false, .. }) => "http",
        // Another program serves, and knows.
        None => &origin.scheme,
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let own = host.map(|host| Origin::parse(&format!("{scheme}://{host}")));
    own.is_some_and(|own| own.as_ref() == Ok(origin))
}

impl Origin {
    fn parse(text: &str) -> Result<Self, OriginError> {
        Self::from_parts(text).ok_or_else(|| {
            OriginError(format!(
                "invalid origin '{text}': it must be a scheme, a host and perhaps a port, such as \
                 https://app.example.com"
            ))
        })
    }

    fn from_parts(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if scheme.is_empty() || !scheme.chars().all(is_scheme) || authority.contains('@') {
            return None;
        }
        let authority: Authority = authority.parse().ok()?;
        let scheme = scheme.to_ascii_lowercase();
        let default = match &*scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let host = authority.host();
        let has_port = authority.as_str().len() > host.len();
        let port = match has_port {
            true => Some(authority.port_u16()?),
            false => default,
        };
        Some(Self {
            host: host.to_ascii_lowercase(),
            scheme,
            port,
        })
    }
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OriginError {}

#[cfg(test)]
mod tests;
