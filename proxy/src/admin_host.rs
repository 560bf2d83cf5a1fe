//! Which `Host` the admin listener answers to.
//!
//! It has no authentication, and a browser beside it reaches it on a loopback address. A page can
//! point a name of its own to that address and read what it finds there (DNS rebinding). Such a
//! request has the page's name as its `Host`. So the listener answers to addresses, which no page can
//! have as its own name, to `localhost`, and to the names of
//! [`Config::admin_hosts`](crate::Config::admin_hosts).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::handshake::refuse;
use crate::refusal::Refusal;
use crate::server_state::ServerState;

/// Answers 421, or passes the request on.
pub(crate) async fn check(
    State(server): State<Arc<ServerState>>,
    request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(header::HOST);
    // Without a host, it is from no browser.
    let host = host
        .map(|host| host.as_bytes())
        .filter(|host| !host.is_empty());
    let target = request.uri().authority().map(|a| a.as_str().as_bytes());
    let names = &server.config.admin_hosts;
    let is_known = |host: &[u8]| is_known(host, names.iter().map(String::as_str));
    if host.into_iter().chain(target).all(is_known) {
        return next.run(request).await;
    }
    let refusal = Refusal::UnknownAdminHost;
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    server.refusals.record(refusal, peer.map(|info| info.0));
    let status = StatusCode::MISDIRECTED_REQUEST;
    refuse((status, format!("{}\n", refusal.sentence())).into_response())
}

/// Returns whether a host is an address, `localhost`, or one of these names. Its port has no meaning.
pub(crate) fn is_known<'n>(host: &[u8], mut names: impl Iterator<Item = &'n str>) -> bool {
    let Ok(authority) = Authority::try_from(host) else {
        return false;
    };
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if bare.unwrap_or(host).parse::<IpAddr>().is_ok() {
        return true;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_name = |name: &str| name.eq_ignore_ascii_case(host);
    is_name("localhost") || names.any(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_configured_names_are_known() {
        let names = || ["metrics.example"].into_iter();
        for known in [
            "127.0.0.1",
            "127.0.0.1:9464",
            "10.1.2.3:9464",
            "[::1]:9464",
            "[::1]",
            "localhost",
            "LOCALHOST:1",
            "localhost.",
            "Metrics.Example:9464",
        ] {
            assert!(is_known(known.as_bytes(), names()), "{known}");
        }
        for unknown in [
            "evil.example",
            "evil.example:9464",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil-localhost",
            "127.1",
            "\u{ff}",
        ] {
            assert!(!is_known(unknown.as_bytes(), names()), "{unknown}");
        }
    }
}
