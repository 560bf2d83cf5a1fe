//! Whether the server runs, and whether clients should be sent to it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use super::Shared;

/// `/healthz` and `/readyz`.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
}

/// 200 and `ready`, or 503 and the reason why no client should come now.
async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    match unready(&shared) {
        None => (StatusCode::OK, "ready"),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

/// The first reason why no client should come, if there is one: each has a line here.
fn unready(shared: &Shared) -> Option<&'static str> {
    let reasons = [(shared.drain.has_begun(), "draining")];
    reasons
        .into_iter()
        .find_map(|(holds, why)| holds.then_some(why))
}
