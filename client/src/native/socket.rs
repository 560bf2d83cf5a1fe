//! The native WebSocket, on tokio-tungstenite.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use futures_util::{Sink, Stream};
use streamgate_protocol::CacheResult;
use streamgate_protocol::close::{self, fit_reason};
use streamgate_protocol::limits::MIN_CLIENT_FRAME_BYTES;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::UrlError;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::{RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::engine::TokenError;
use crate::token_requests::{TokenRequest, TokenRequests};
use crate::transport::{Connector, Socket, SocketEvent};

/// tungstenite zeroes this many bytes at every attempt to read, so it is small.
const READ_BUFFER_BYTES: usize = 16 * 1024;

type TungsteniteSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The owner's source of tokens.
pub(super) type TokenCallback =
    Arc<dyn Fn(TokenRequest) -> BoxFuture<'static, CacheResult<String>> + Send + Sync>;

pub(super) struct NativeConnector {
    request: Request,
    max_frame_bytes: usize,
    token_source: Option<TokenCallback>,
    token_requests: TokenRequests<BoxFuture<'static, CacheResult<String>>>,
    tls: Option<Encryption>,
}

/// How a connection is encrypted; `None` if the scheme of the URL says so.
type Encryption = tokio_tungstenite::Connector;

impl NativeConnector {
    /// `max_frame_bytes` is the largest frame that the client takes; `hello` tells it to the server.
    pub(super) fn new(
        url: &str,
        max_frame_bytes: u32,
        token_source: Option<TokenCallback>,
    ) -> Result<Self, Error> {
        let request = url.into_client_request()?;
        match request.uri().scheme_str() {
            Some("wss") if cfg!(not(feature = "tls")) => {
                Err(Error::Url(UrlError::TlsFeatureNotEnabled))
            }
            Some("ws" | "wss") => Ok(Self {
                request,
                max_frame_bytes: max_frame_bytes.max(MIN_CLIENT_FRAME_BYTES) as usize,
                token_source,
                token_requests: TokenRequests::default(),
                tls: None,
            }),
            _ => Err(Error::Url(UrlError::UnsupportedUrlScheme)),
        }
    }

    /// Returns whether the connection is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.request.uri().scheme_str() == Some("wss")
    }

    #[cfg(feature = "tls")]
    pub(super) fn with_tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(Encryption::Rustls(config));
        self
    }

    /// Returns whether nobody else can read what is sent: it is encrypted, or stays on this machine.
    pub(super) fn keeps_secrets(&self) -> bool {
        let uri = self.request.uri();
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.is_encrypted()
            || host == "localhost"
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// Returns the server's address for logs: without user, path and query, which may hold secrets.
    #[cfg(feature = "tracing")]
    pub(super) fn log_address(&self) -> String {
        let uri = self.request.uri();
        let (scheme, host) = (uri.scheme_str().unwrap_or_default(), uri.host());
        let host = host.unwrap_or_default();
        match uri.port_u16() {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }
    }
}

impl Connector for NativeConnector {
    type Socket = NativeSocket;

    fn connect(&mut self, subprotocol: &'static str) -> NativeSocket {
        let mut request = self.request.clone();
        let offer = HeaderValue::from_static(subprotocol);
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, offer);
        let opening = open(request, self.max_frame_bytes, self.tls.clone());
        NativeSocket::Opening(Box::pin(opening))
    }

    fn request_token(&mut self, force: bool) {
        if let Some(source) = &self.token_source {
            self.token_requests.begin(source(TokenRequest::new(force)));
        }
    }

    fn poll_token(&mut self, cx: &mut Context<'_>) -> Poll<Result<String, TokenError>> {
        self.token_requests.poll(cx)
    }
}

async fn open(
    request: Request,
    max_frame_bytes: usize,
    tls: Option<Encryption>,
) -> Result<(TungsteniteSocket, String), Error> {
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = READ_BUFFER_BYTES;
    config.max_message_size = Some(max_frame_bytes);
    config.max_frame_size = Some(max_frame_bytes);
    let (socket, response) = connect(request, config, tls).await?;
    let chosen = response.headers().get(SEC_WEBSOCKET_PROTOCOL);
    let chosen = chosen
        .and_then(|name| name.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    Ok((socket, chosen))
}

#[cfg(feature = "tls")]
async fn connect(
    request: Request,
    config: WebSocketConfig,
    tls: Option<Encryption>,
) -> Result<(TungsteniteSocket, Response), Error> {
    tokio_tungstenite::connect_async_tls_with_config(request, Some(config), true, tls).await
}

#[cfg(not(feature = "tls"))]
async fn connect(
    request: Request,
    config: WebSocketConfig,
    _tls: Option<Encryption>,
) -> Result<(TungsteniteSocket, Response), Error> {
    tokio_tungstenite::connect_async_with_config(request, Some(config), true).await
}

/// A socket that is being opened, or is open.
pub(super) enum NativeSocket {
    Opening(BoxFuture<'static, Result<(TungsteniteSocket, String), Error>>),
    Open(Box<OpenSocket>),
}

pub(super) struct OpenSocket {
    socket: TungsteniteSocket,
    /// A close that was not handed to the socket yet.
    closing: Option<CloseFrame>,
    /// The close that was received.
    close: Option<(u16, String)>,
}

impl Socket for NativeSocket {
    type Payload = Payload;

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent<Payload>> {
        match self {
            Self::Opening(opening) => Poll::Ready(match ready!(opening.as_mut().poll(cx)) {
                Ok((socket, subprotocol)) => {
                    *self = Self::Open(Box::new(OpenSocket {
                        socket,
                        closing: None,
                        close: None,
                    }));
                    SocketEvent::Opened { subprotocol }
                }
                Err(error) => closed(&error),
            }),
            Self::Open(open) => open.poll_event(cx),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Opening(_) => Poll::Pending,
            // The server reads nothing after its close; the end of the events follows.
            Self::Open(open) if open.close.is_some() => Poll::Pending,
            // A failure shows as the end of the stream of events.
            Self::Open(open) => Pin::new(&mut open.socket).poll_ready(cx).map(|_| ()),
        }
    }

    fn send(&mut self, frame: Vec<u8>, is_text: bool) {
        let Self::Open(open) = self else { return };
        let message = if is_text {
            // The codec writes JSON, which is valid UTF-8.
            let Ok(text) = Utf8Bytes::try_from(frame) else {
                return;
            };
            Message::Text(text)
        } else {
            Message::Binary(frame.into())
        };
        // A failure shows as the end of the stream of events.
        let _ = Pin::new(&mut open.socket).start_send(message);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Opening(_) => Poll::Ready(()),
            Self::Open(open) => open.poll_flush(cx),
        }
    }

    fn close(&mut self, code: u16, reason: &str) {
        if let Self::Open(open) = self {
            let reason = fit_reason(reason).to_owned().into();
            open.closing = Some(CloseFrame {
                code: code.into(),
                reason,
            });
        }
    }
}

impl OpenSocket {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent<Payload>> {
        loop {
            let message = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(message)) => message,
                Some(Err(Error::ConnectionClosed)) | None => {
                    let ended = || (close::ABNORMAL, "the connection ended".to_owned());
                    let (code, reason) = self.close.take().unwrap_or_else(ended);
                    return Poll::Ready(SocketEvent::Closed {
                        code,
                        reason,
                        retry_after_ms: 0,
                    });
                }
                Some(Err(error)) => {
                    let event = closed(&error);
                    self.report_violation(&event, cx);
                    return Poll::Ready(event);
                }
            };
            match message {
                Message::Binary(bytes) => {
                    let payload = Payload(bytes);
                    return Poll::Ready(SocketEvent::Frame {
                        payload,
                        is_text: false,
                    });
                }
                Message::Text(text) => {
                    let payload = Payload(text.into());
                    return Poll::Ready(SocketEvent::Frame {
                        payload,
                        is_text: true,
                    });
                }
                Message::Close(frame) => {
                    // 1005 means a close without a code (RFC 6455, section 7.4.1).
                    self.close = Some(frame.map_or((1005, String::new()), |frame| {
                        (frame.code.into(), frame.reason.to_string())
                    }));
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Tells the server with which message it violated the WebSocket protocol. That fails if there
    /// is no room for it at once.
    fn report_violation(&mut self, event: &SocketEvent<Payload>, cx: &mut Context<'_>) {
        let SocketEvent::Closed { code, .. } = event else {
            return;
        };
        if *code != close::ABNORMAL {
            let reason = "".into();
            let code = (*code).into();
            let mut socket = Pin::new(&mut self.socket);
            let close = Message::Close(Some(CloseFrame { code, reason }));
            let _ = socket.as_mut().start_send(close);
            let _ = socket.poll_flush(cx);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut socket = Pin::new(&mut self.socket);
        if self.closing.is_some() && socket.as_mut().poll_ready(cx).is_ready() {
            // A failure shows as the end of the stream of events.
            let _ = socket
                .as_mut()
                .start_send(Message::Close(self.closing.take()));
        }
        socket.poll_flush(cx).map(|_| ())
    }
}

fn closed(error: &Error) -> SocketEvent<Payload> {
    let mut retry_after_ms = 0;
    let (code, reason) = match error {
        Error::Http(response) => {
            let status = response.status();
            let seconds = response.headers().get(RETRY_AFTER);
            let seconds = seconds.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            retry_after_ms = seconds.map_or(0, |seconds: u32| seconds.saturating_mul(1_000));
            let reason = format!("the server refused the connection with HTTP status {status}");
            (status.as_u16(), reason)
        }
        // Every further connection would break at the same message.
        Error::Capacity(_) => (close::MESSAGE_TOO_LARGE, error.to_string()),
        Error::Utf8(_) => (close::INVALID_TEXT, error.to_string()),
        #[cfg(feature = "tls")]
        Error::Io(failure) => {
            let described = super::tls::describe(failure);
            let reason = described.unwrap_or_else(|| error.to_string());
            (close::ABNORMAL, reason)
        }
        error => (close::ABNORMAL, error.to_string()),
    };
    SocketEvent::Closed {
        code,
        reason,
        retry_after_ms,
    }
}

/// The bytes of a frame, as they were received.
#[derive(Debug)]
pub(super) struct Payload(Bytes);

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};

    use super::*;

    fn code(error: &Error) -> u16 {
        match closed(error) {
            SocketEvent::Closed { code, .. } => code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_message_that_is_too_large_is_told_from_a_broken_connection() {
        let (size, max_size) = (2, 1);
        let too_large = CapacityError::MessageTooLong { size, max_size };
        assert_eq!(code(&too_large.into()), close::MESSAGE_TOO_LARGE);
        let reset = ProtocolError::ResetWithoutClosingHandshake;
        assert_eq!(code(&reset.into()), close::ABNORMAL);
    }
}
