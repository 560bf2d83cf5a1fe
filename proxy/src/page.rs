//! What the server shows beside its endpoint.

use std::path::Path;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{Html, Response};
use axum::routing::get;
use tower_http::services::ServeDir;

/// Only what this server serves, and WebAssembly. `'self'` covers the WebSocket of the same host.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; \
     object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    // A page and its module change together: ask each time.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONTENT_SECURITY_POLICY),
    ),
];

/// Adds, at `/`, the folder or a page of a few words, and what all answers are headed with.
pub(crate) fn routes(router: Router, www: Option<&Path>) -> Router {
    let router = match www {
        Some(folder) => router.fallback_service(ServeDir::new(folder)),
        None => router.route("/", get(|| async { Html(include_str!("page.html")) })),
    };
    router.layer(map_response(with_headers))
}

async fn with_headers(mut response: Response) -> Response {
    response.headers_mut().extend(HEADERS);
    response
}
