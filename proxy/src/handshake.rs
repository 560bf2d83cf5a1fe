//! The WebSocket handshake: from an HTTP request to a socket, and why the server refuses one.
//!
//! The server makes the handshake itself, on hyper's upgrade, instead of with axum's extractor: the
//! session needs the stream below the WebSocket. It observes the progress of a slow write there,
//! and reads on after a close. Without that, a TCP reset could drop the close frame.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use streamgate_protocol::codec::Encoding;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tracing::Instrument;

use crate::origins::ReachedBy;
use crate::refusal::Refusal;
use crate::server_state::ServerState;
use crate::session::{self, Opening};
use crate::socket::ServerSocket;

/// `Retry-After` of every 503, in seconds. Another server behind the same name may take the client at
/// once, and clients pause by themselves if this goes on.
pub(crate) const RETRY_AFTER_SECONDS: &str = "1";

/// Parameters of a URL that are meant for secrets (SPEC.md, R17.8).
const SECRET_PARAMETERS: [&str; 4] = ["token", "access_token", "jwt", "authorization"];

/// Answers `GET /v1/ws`.
///
/// The server refuses before the upgrade, with the reason in the body: 426 without a WebSocket
/// handshake; 400 if it is malformed, or offers no subprotocol of [`Encoding::ALL`]; 403 if it is
/// from a page that may not use the server; 503 when
/// [`Config::max_sockets`](crate::Config::max_sockets) are open, or the address has its share of
/// them, and during a shutdown.
pub(crate) async fn upgrade(
    State(server): State<Arc<ServerState>>,
    mut request: Request,
) -> Response {
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0);
    // Absent fields are not logged.
    let shown_peer = peer.map(tracing::field::display);
    let refused = |refusal| server.refusals.record(refusal, peer);
    let mut response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(peer = shown_peer, %error, "invalid handshake");
            refused(Refusal::InvalidHandshake);
            return invalid_handshake(&error);
        }
    };
    let reached_by = request.extensions().get::<ReachedBy>().copied();
    if !server.origins().permit_page(request.headers(), reached_by) {
        let refusal = Refusal::ForeignOrigin;
        refused(refusal);
        let body = format!("{}\n", refusal.sentence());
        return refuse((StatusCode::FORBIDDEN, body).into_response());
    }
    if has_secret_in_url(&request) {
        refused(Refusal::SecretInUrl);
        let body = "a token in the URL is refused, because URLs are logged; send it in hello\n";
        return refuse((StatusCode::BAD_REQUEST, body).into_response());
    }
    let Some(encoding) = choose_encoding(request.headers()) else {
        refused(Refusal::UnknownSubprotocol);
        return unknown_subprotocol();
    };
    if server.shutdown.has_begun() {
        refused(Refusal::ShuttingDown);
        return unavailable("this server is shutting down");
    }
    let Ok(permit) = Arc::clone(&server.socket_permits).try_acquire_owned() else {
        refused(Refusal::TooManySockets);
        return unavailable("too many sockets are open on this server");
    };
    let address = server.counted_address(peer);
    let share = address.map(|address| server.socket_shares.acquire(address));
    if let Some(None) = share {
        refused(Refusal::TooManySocketsOfAddress);
        return unavailable("too many sockets of this address are open on this server");
    }
    let chosen = HeaderValue::from_static(encoding.subprotocol());
    response
        .headers_mut()
        .insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);

    // Below the default level, so that a poll of the session enters no span unless it is asked for.
    let span = tracing::debug_span!(
        "socket",
        peer = shown_peer,
        encoding = encoding.subprotocol()
    );
    let has_policy = server.access.has_policy();
    let bearer = bearer_token(request.headers()).filter(|_| has_policy);
    let upgrade = hyper::upgrade::on(&mut request);
    let serve = async move {
        match upgrade.await {
            Ok(upgraded) => {
                let stream = hyper_util::rt::TokioIo::new(upgraded);
                let max_bytes = server.config.max_frame_bytes;
                let socket = ServerSocket::new(stream, encoding, max_bytes).await;
                let place = if has_policy {
                    Some(server.hello_places.take(address).await)
                } else {
                    None
                };
                session::run(&server, socket, peer, Opening { bearer, place }).await;
            }
            Err(error) => tracing::debug!(%error, "upgrade failed"),
        }
        drop((permit, share));
    };
    tokio::spawn(serve.instrument(span));
    response
}

/// Returns the token of `Authorization: Bearer` (RFC 6750, section 2.1).
fn bearer_token(headers: &HeaderMap) -> Option<Box<str>> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().into())
}

/// Returns whether the query of a request has a parameter that is meant for a secret. URLs are
/// logged, by proxies and by browsers.
fn has_secret_in_url(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let mut names = query
        .split('&')
        .map(|pair| pair.split('=').next().unwrap_or_default());
    names.any(|name| {
        let name = percent_decode_str(name).decode_utf8_lossy();
        SECRET_PARAMETERS
            .iter()
            .any(|secret| name.eq_ignore_ascii_case(secret))
    })
}

/// Returns the preferred encoding among those offered.
fn choose_encoding(headers: &HeaderMap) -> Option<Encoding> {
    let offered: Vec<Encoding> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| Encoding::from_subprotocol(name.trim()))
        .collect();
    Encoding::ALL
        .iter()
        .copied()
        .find(|encoding| offered.contains(encoding))
}

fn invalid_handshake(error: &Error) -> Response {
    let with_status = |status| {
        let body = format!("no valid WebSocket handshake: {error}\n");
        refuse((status, body).into_response())
    };
    match error {
        Error::Protocol(
            ProtocolError::WrongHttpMethod
            | ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingSecWebSocketVersionHeader,
        ) => {
            let mut response = with_status(StatusCode::UPGRADE_REQUIRED);
            let headers = response.headers_mut();
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(
                header::CONNECTION,
                HeaderValue::from_static("upgrade, close"),
            );
            headers.insert(
                header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static("13"),
            );
            response
        }
        _ => with_status(StatusCode::BAD_REQUEST),
    }
}

fn unknown_subprotocol() -> Response {
    let known: Vec<_> = Encoding::ALL
        .iter()
        .map(|encoding| encoding.subprotocol())
        .collect();
    let body = format!(
        "no known WebSocket subprotocol; offer one of: {}\n",
        known.join(", ")
    );
    refuse((StatusCode::BAD_REQUEST, body).into_response())
}

/// Answers 503.
pub(crate) fn unavailable(reason: &str) -> Response {
    let retry_after = [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)];
    let body = format!("{reason}; try again later\n");
    refuse((StatusCode::SERVICE_UNAVAILABLE, retry_after, body).into_response())
}

/// Lets a response end its connection: whoever is refused holds nothing of the server.
pub(crate) fn refuse(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen_of(offers: &[&'static str]) -> Option<Encoding> {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(
                header::SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_static(offer),
            );
        }
        choose_encoding(&headers)
    }

    #[test]
    fn binary_is_preferred_in_any_order_of_offers() {
        let one_header = chosen_of(&["streamgate.v1.json, streamgate.v1.bin"]);
        assert_eq!(one_header, Some(Encoding::Binary));
        let two_headers = chosen_of(&["streamgate.v1.json", "streamgate.v1.bin"]);
        assert_eq!(two_headers, Some(Encoding::Binary));
        let json_alone = chosen_of(&["streamgate.v9.bin,streamgate.v1.json"]);
        assert_eq!(json_alone, Some(Encoding::Json));
    }

    #[test]
    fn unknown_subprotocols_choose_no_encoding() {
        assert_eq!(chosen_of(&[]), None);
        let unknown = ["", "mqtt", "streamgate.v1", "STREAMGATE.V1.BIN"];
        assert_eq!(chosen_of(&unknown), None);
    }
}
