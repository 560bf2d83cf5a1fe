//! Whether the server runs, and whether clients should be sent to it.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use crate::server::ServerState;
use streamgate_backend::Backend;

/// `/healthz` and `/readyz`.
pub(crate) fn routes() -> Router<Arc<ServerState>> {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
}

/// 200 and `ready`, or 503 and the reason why no client should come now.
async fn ready(State(shared): State<Arc<ServerState>>) -> (StatusCode, Cow<'static, str>) {
    match unready(&shared) {
        None => (StatusCode::OK, "ready".into()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

/// The first reason why no client should come, if there is one: each has a line here.
fn unready(shared: &ServerState) -> Option<Cow<'static, str>> {
    let draining = shared.drain.has_begun().then(|| "draining".into());
    draining.or_else(|| away(&*shared.backend))
}

fn away(backend: &dyn Backend) -> Option<Cow<'static, str>> {
    let availability = backend.availability()?;
    let away = availability.borrow();
    let code = away.as_ref()?.code();
    Some(format!("backend away: {code}").into())
}
