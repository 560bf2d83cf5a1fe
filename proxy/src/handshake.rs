//! From an HTTP request to a socket: negotiation, and refusals before the upgrade.
//!
//! The handshake is made here and not by axum's extractor, because the session has to reach the
//! stream below the WebSocket: to see whether a write progresses, and to read what a client
//! still sends after a close, without which the close frame would be lost to a TCP reset.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use streamgate_protocol::codec::Encoding;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::{Error, http};

use crate::server::ServerState;
use crate::session;
use crate::socket::Socket;

/// Answers `GET /v1/ws`.
///
/// Refused before the upgrade, with a body that says why: 426 without a WebSocket handshake, 400
/// for a malformed one and for one that offers no subprotocol spoken here, 503 at the bound of
/// sockets and during shutdown.
pub(crate) async fn upgrade(
    State(shared): State<Arc<ServerState>>,
    mut request: Request,
) -> Response {
    let mut response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => return no_handshake(&error),
    };
    let Some(encoding) = choose(request.headers()) else {
        return no_subprotocol();
    };
    let Ok(permit) = Arc::clone(&shared.sockets).try_acquire_owned() else {
        return unavailable("as many sockets as this server takes are open");
    };
    if shared.drain.has_begun() {
        return unavailable("this server is shutting down");
    }
    let chosen = HeaderValue::from_static(encoding.subprotocol());
    response
        .headers_mut()
        .insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);

    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0);
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let stream = hyper_util::rt::TokioIo::new(upgraded);
                let socket = Socket::new(stream, encoding, shared.config.max_frame_bytes).await;
                session::run(&shared, socket, peer).await;
            }
            Err(error) => tracing::debug!(?peer, %error, "upgrade failed"),
        }
        drop(permit);
    });
    response
}

/// The preferred encoding among those offered.
fn choose(headers: &HeaderMap) -> Option<Encoding> {
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

fn no_handshake(error: &Error) -> Response {
    let refuse = |status| (status, format!("no WebSocket handshake: {error}\n")).into_response();
    match error {
        Error::Protocol(
            ProtocolError::WrongHttpMethod
            | ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingSecWebSocketVersionHeader,
        ) => {
            let mut response = refuse(StatusCode::UPGRADE_REQUIRED);
            let headers = response.headers_mut();
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(
                header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static("13"),
            );
            response
        }
        _ => refuse(http::StatusCode::BAD_REQUEST),
    }
}

fn no_subprotocol() -> Response {
    let spoken: Vec<_> = Encoding::ALL
        .iter()
        .map(|encoding| encoding.subprotocol())
        .collect();
    let body = format!(
        "offer one of these WebSocket subprotocols: {}\n",
        spoken.join(", ")
    );
    (StatusCode::BAD_REQUEST, body).into_response()
}

fn unavailable(why: &str) -> Response {
    let retry_after = [(header::RETRY_AFTER, "1")];
    (
        StatusCode::SERVICE_UNAVAILABLE,
        retry_after,
        format!("{why}\n"),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(values: &[&'static str]) -> Option<Encoding> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                header::SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_static(value),
            );
        }
        choose(&headers)
    }

    #[test]
    fn binary_is_preferred_wherever_it_stands() {
        assert_eq!(
            offer(&["streamgate.v1.json, streamgate.v1.bin"]),
            Some(Encoding::Binary)
        );
        assert_eq!(
            offer(&["streamgate.v1.json", "streamgate.v1.bin"]),
            Some(Encoding::Binary)
        );
        assert_eq!(
            offer(&["streamgate.v9.bin,streamgate.v1.json"]),
            Some(Encoding::Json)
        );
    }

    #[test]
    fn nothing_known_is_nothing() {
        assert_eq!(offer(&[]), None);
        assert_eq!(
            offer(&["", "mqtt", "streamgate.v1", "STREAMGATE.V1.BIN"]),
            None
        );
    }
}
