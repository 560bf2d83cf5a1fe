//! What every request must have, whatever it asks for: exactly one valid `Host`, and a target that
//! is not too long. On the public listener the `Host` must also be a name of the server.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::uri::Authority;
use axum::http::{StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::handshake::refuse;
use crate::origins::ReachedBy;
use crate::refusal::Refusal;
use crate::server_state::ServerState;

/// Longest target of a request in bytes: longer than any that a client or a page has.
const MAX_TARGET_BYTES: usize = 4 * 1024;

/// Answers 400 or 414, or passes the request on.
pub(crate) async fn check(
    State(server): State<Arc<ServerState>>,
    request: Request,
    next: Next,
) -> Response {
    let target = request.uri().path_and_query();
    let (status, refusal) = if target.is_some_and(|t| t.as_str().len() > MAX_TARGET_BYTES) {
        (StatusCode::URI_TOO_LONG, Refusal::TargetTooLong)
    } else if !has_valid_host(&request) {
        (StatusCode::BAD_REQUEST, Refusal::InvalidHost)
    } else {
        return next.run(request).await;
    };
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    server.refusals.record(refusal, peer.map(|info| info.0));
    refuse((status, format!("{}\n", refusal.sentence())).into_response())
}

/// Answers 403, or passes the request on. Probes of load balancers may come by any name.
pub(crate) async fn check_name(
    State(server): State<Arc<ServerState>>,
    request: Request,
    next: Next,
) -> Response {
    let reached_by = request.extensions().get::<ReachedBy>().copied();
    let header = request.headers().get(header::HOST);
    // Without a host, it is from no browser.
    let header = header
        .map(|host| host.as_bytes())
        .filter(|host| !host.is_empty());
    let target = request.uri().authority().map(|a| a.as_str().as_bytes());
    let origins = server.origins();
    let is_probe = matches!(request.uri().path(), "/healthz" | "/readyz");
    let mut names = header.into_iter().chain(target);
    if is_probe || names.all(|host| origins.permit_host(host, reached_by)) {
        return next.run(request).await;
    }
    let refusal = Refusal::UnknownHost;
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    server.refusals.record(refusal, peer.map(|info| info.0));
    refuse((StatusCode::FORBIDDEN, format!("{}\n", refusal.sentence())).into_response())
}

/// Returns whether there is one `Host`, valid or empty. HTTP/1.0 knew none.
fn has_valid_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => request.version() < Version::HTTP_11 || request.uri().host().is_some(),
        (Some(host), None) => {
            host.is_empty()
                || Authority::try_from(host.as_bytes()).is_ok_and(|a| !a.as_str().contains('@'))
        }
        (Some(_), Some(_)) => false,
    }
}
