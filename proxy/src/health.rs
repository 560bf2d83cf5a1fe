//! `/healthz` and `/readyz`: whether the server runs, and whether new clients should come.
//!
//! Both are on the public listener, for load balancers that probe the port they send clients to,
//! and on the admin listener, where `/readyz` has details.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};
use streamgate_protocol::CacheError;

use crate::handshake::RETRY_AFTER_SECONDS;
use crate::server_state::ServerState;

/// Returns the routes of the public listener.
///
/// `/healthz` answers `ok` as long as the process serves: a load balancer must not kill a server
/// because its backend is unavailable.
pub(crate) fn routes() -> Router<Arc<ServerState>> {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readiness))
}

/// Returns the routes of the admin listener.
pub(crate) fn detailed_routes() -> Router<Arc<ServerState>> {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(detailed_readiness))
}

/// Answers 200 and `ready`, or 503 and the first reason why new clients should not come.
async fn readiness(State(server): State<Arc<ServerState>>) -> Response {
    let reason = server.not_ready();
    let body = reason.clone().unwrap_or("ready".into());
    with_status(reason.as_deref(), body)
}

/// Answers with the same status, and with what it follows from.
async fn detailed_readiness(State(server): State<Arc<ServerState>>) -> Response {
    let reason = server.not_ready();
    let error = server.backend_error();
    let budget = &server.config.memory_budget;
    let reload_errors: Map<_, _> = server
        .reload_errors
        .all()
        .into_iter()
        .filter_map(|(source, error)| Some((source.as_str().to_owned(), Value::from(error?))))
        .collect();
    let details = json!({
        "ready": reason.is_none(),
        "reason": reason,
        "draining": server.shutdown.has_begun(),
        "backend": {
            "available": error.is_none(),
            "code": error.as_ref().map(CacheError::code),
            "error": error.as_ref().map(CacheError::message),
        },
        "reload_errors": reload_errors,
        "memory": { "used": budget.used_bytes(), "max": budget.max_bytes() },
        "sockets": { "open": server.open_sockets(), "max": server.config.socket_limit() },
        "version": env!("CARGO_PKG_VERSION"),
    });
    with_status(reason.as_deref(), json_text(&details))
}

fn json_text(value: &Value) -> impl IntoResponse + use<> {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (content_type, format!("{value}\n"))
}

fn with_status(not_ready: Option<&str>, body: impl IntoResponse) -> Response {
    if not_ready.is_none() {
        return body.into_response();
    }
    let retry_after = [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)];
    (StatusCode::SERVICE_UNAVAILABLE, retry_after, body).into_response()
}

impl ServerState {
    /// Returns the first reason why new clients should not come.
    pub(crate) fn not_ready(&self) -> Option<Cow<'static, str>> {
        if self.shutdown.has_begun() {
            return Some("draining".into());
        }
        if self.access.lacks_keys() {
            return Some("no keys of the issuer yet".into());
        }
        let error = self.backend_error()?;
        Some(format!("backend unavailable: {}", error.code()).into())
    }

    /// Returns why the backend is unavailable, if it is.
    pub(crate) fn backend_error(&self) -> Option<CacheError> {
        self.backend.availability()?.borrow().clone()
    }
}
