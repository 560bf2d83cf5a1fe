//! Why a socket ends.

use std::borrow::Cow;

use streamgate_protocol::close;
use streamgate_protocol::codec::Encoding;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;

/// The close code of RFC 6455 for what is no WebSocket frame.
const WEBSOCKET_PROTOCOL_ERROR: u16 = 1002;
/// The close code of RFC 6455 for text that is not UTF-8.
const WEBSOCKET_NOT_UTF8: u16 = 1007;

/// Why a socket ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client closed, or its connection broke.
    Left,
    /// The server closes.
    Close {
        /// One of [`close::CLOSE_CODES`], or one of RFC 6455 where the fault is below this
        /// protocol.
        code: u16,
        /// Said to the client; holds nothing of what it sent.
        reason: Cow<'static, str>,
        /// Whether frames can still be read, so that the client's own close can be awaited.
        readable: bool,
    },
}

impl Ending {
    /// Closes a socket on which frames can still be read.
    pub(crate) fn close(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Close {
            code,
            reason: reason.into(),
            readable: true,
        }
    }

    pub(super) fn wrong_frame_type(agreed: Encoding) -> Self {
        Self::close(
            close::WRONG_FRAME_TYPE,
            if agreed.is_text() {
                "a binary frame where text was agreed"
            } else {
                "a text frame where binary was agreed"
            },
        )
    }

    pub(super) fn is_readable(&self) -> bool {
        matches!(self, Self::Close { readable: true, .. })
    }
}

impl From<Error> for Ending {
    fn from(error: Error) -> Self {
        let (code, reason) = match error {
            Error::Capacity(_) => (
                close::FRAME_TOO_LARGE,
                "a frame larger than was granted".into(),
            ),
            Error::Utf8(_) => (WEBSOCKET_NOT_UTF8, "text that is not UTF-8".into()),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return Self::Left,
            Error::Protocol(error) => (WEBSOCKET_PROTOCOL_ERROR, error.to_string().into()),
            _ => return Self::Left,
        };
        Self::Close {
            code,
            reason,
            readable: false,
        }
    }
}
