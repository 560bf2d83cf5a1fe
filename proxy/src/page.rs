//! The page at `/`, and the headers of every response.

use std::path::Path;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{Html, Response};
use axum::routing::get;
use tower_http::services::ServeDir;

/// Allows what this server serves, and WebAssembly. `'self'` includes the WebSocket of the host.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; \
     object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    // A page and its module change together, so browsers revalidate both each time.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONTENT_SECURITY_POLICY),
    ),
];

/// Adds the folder, or else the default page, at `/`, and [`HEADERS`] to every response.
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
