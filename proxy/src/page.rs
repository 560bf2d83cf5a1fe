//! The page at `/`, and the headers of every response.

use std::path::Path;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{Html, Response};
use axum::routing::get;
use streamgate_backend::MemoryBudget;

use crate::www::Www;

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

/// Adds the folder, or else the default page, at `/`.
pub(crate) fn routes(router: Router, www: Option<&Path>, memory: &MemoryBudget) -> Router {
    match www {
        Some(folder) => {
            let www = Www::new(folder, memory.clone());
            router.fallback(|request| www.serve(request))
        }
        None => router.route("/", get(|| async { Html(include_str!("page.html")) })),
    }
}

/// Adds [`HEADERS`] to every response.
pub(crate) fn with_headers(router: Router) -> Router {
    router.layer(map_response(|mut response: Response| async {
        response.headers_mut().extend(HEADERS);
        response
    }))
}
