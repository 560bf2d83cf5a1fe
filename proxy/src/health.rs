//! `/healthz` and `/readyz`: whether the server runs, and whether new clients should come.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use streamgate_backend::Backend;

use crate::handshake::RETRY_AFTER_SECONDS;
use crate::server_state::ServerState;

/// Returns the routes `/healthz` and `/readyz`.
///
/// `/healthz` answers `ok` as long as the process serves: a load balancer must not kill a server
/// because its backend is unavailable.
pub(crate) fn routes() -> Router<Arc<ServerState>> {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readiness))
}

/// Answers 200 and `ready`, or 503 and the first reason why new clients should not come.
async fn readiness(State(server): State<Arc<ServerState>>) -> Response {
    match not_ready(&server) {
        None => "ready".into_response(),
        Some(reason) => {
            let retry_after = [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)];
            (StatusCode::SERVICE_UNAVAILABLE, retry_after, reason).into_response()
        }
    }
}

fn not_ready(server: &ServerState) -> Option<Cow<'static, str>> {
    let draining = server.shutdown.has_begun().then(|| "draining".into());
    draining.or_else(|| backend_unavailable(&*server.backend))
}

fn backend_unavailable(backend: &dyn Backend) -> Option<Cow<'static, str>> {
    let availability = backend.availability()?;
    let error = availability.borrow();
    let code = error.as_ref()?.code();
    Some(format!("backend unavailable: {code}").into())
}
