//! The admin listener: what operators and their tools see of a server.
//!
//! It has no authentication, so by default it is on the loopback address, and `admin_host.rs` keeps
//! pages of browsers away from it. It serves until the
//! process ends, so `/readyz` and `/metrics` answer during a shutdown too.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::accept::{Acceptor, HandshakePlaces};
use crate::metrics::render;
use crate::server_state::ServerState;

/// Connections at once: a few tools, each of which asks now and then.
const MAX_CONNECTIONS: u32 = 32;

/// Longest time from a connection to its whole request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the routes `/metrics`, `/healthz` and `/readyz`.
pub(crate) fn router(server: &Arc<ServerState>) -> Router {
    let check = from_fn_with_state(Arc::clone(server), crate::request_checks::check);
    let check_host = from_fn_with_state(Arc::clone(server), crate::admin_host::check);
    Router::new()
        .route("/metrics", get(metrics))
        .merge(crate::health::detailed_routes())
        .with_state(Arc::clone(server))
        .layer(check_host)
        .layer(check)
}

/// Returns what serves the admin listener.
pub(crate) fn acceptor(server: &Arc<ServerState>) -> Acceptor {
    let places = HandshakePlaces::new(MAX_CONNECTIONS, MAX_CONNECTIONS);
    Acceptor::new(Arc::clone(server), router(server), places, REQUEST_TIMEOUT)
}

async fn metrics(State(server): State<Arc<ServerState>>) -> Response {
    match render(&server) {
        Ok((content_type, text)) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
        // Writing to a string does not fail.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
