//! Why a socket closes, and the close codes for faults below the protocol.

use std::borrow::Cow;

use streamgate_protocol::close;
use streamgate_protocol::codec::Encoding;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;

/// The close code of RFC 6455 for bytes that are no WebSocket frame.
const WEBSOCKET_PROTOCOL_ERROR: u16 = 1002;
/// The close code of RFC 6455 for text that is not UTF-8.
const WEBSOCKET_NOT_UTF8: u16 = 1007;

/// Why a socket closes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The client closed the socket, or its connection broke.
    ByClient,
    /// The server closes the socket.
    ByServer {
        /// One of [`close::CLOSE_CODES`], or one of RFC 6455 for a fault below the protocol.
        code: u16,
        /// Sent to the client; repeats nothing that the client sent.
        reason: Cow<'static, str>,
        /// Whether the server can still read frames, and so await the client's close.
        readable: bool,
        /// Whether others wait for the memory of the socket, so that what was not sent is discarded.
        is_eviction: bool,
    },
}

impl CloseReason {
    /// Closes a socket from which the server can still read frames.
    pub(crate) fn by_server(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::ByServer {
            code,
            reason: reason.into(),
            readable: true,
            is_eviction: false,
        }
    }

    pub(super) fn wrong_frame_type(negotiated: Encoding) -> Self {
        let reason = if negotiated.is_text() {
            "a binary frame, but the subprotocol has text frames"
        } else {
            "a text frame, but the subprotocol has binary frames"
        };
        Self::by_server(close::WRONG_FRAME_TYPE, reason)
    }

    /// Returns whether the server closes the socket with this code.
    pub(crate) fn has_code(&self, expected: u16) -> bool {
        matches!(self, Self::ByServer { code, .. } if *code == expected)
    }

    /// Returns whether what was not sent is discarded. The close code does not tell: a subject with
    /// too many sockets has the same one.
    pub(crate) fn is_eviction(&self) -> bool {
        matches!(
            self,
            Self::ByServer {
                is_eviction: true,
                ..
            }
        )
    }

    pub(super) fn is_readable(&self) -> bool {
        matches!(self, Self::ByServer { readable: true, .. })
    }
}

impl From<Error> for CloseReason {
    fn from(error: Error) -> Self {
        let (code, reason) = match error {
            Error::Capacity(_) => (
                close::FRAME_TOO_LARGE,
                "a frame larger than max_frame_bytes".into(),
            ),
            Error::Utf8(_) => (WEBSOCKET_NOT_UTF8, "text that is not UTF-8".into()),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return Self::ByClient,
            Error::Protocol(error) => (WEBSOCKET_PROTOCOL_ERROR, error.to_string().into()),
            _ => return Self::ByClient,
        };
        Self::ByServer {
            code,
            reason,
            readable: false,
            is_eviction: false,
        }
    }
}
