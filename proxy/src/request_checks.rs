//! What every request must have, whatever it asks for: exactly one valid `Host`, and a target that
//! is not too long.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::uri::Authority;
use axum::http::{StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::handshake::refuse;
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
