//! Close codes, and whether a client reconnects after them.

use crate::error::code;
use crate::limits::MAX_CLOSE_REASON_BYTES;

/// What a client does after a close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterClose {
    /// Reconnect.
    Reconnect,
    /// Stop and report the error: another connection would end the same way.
    Stop,
}

/// A row of the table of close codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseCode {
    /// The number on the wire.
    pub code: u16,
    /// What a client does after it.
    pub after: AfterClose,
    /// When it is sent or seen.
    pub meaning: &'static str,
}

/// The side that closes is done.
pub const NORMAL: u16 = 1000;
/// The server shuts down. Another one, or the same one later, accepts connections.
pub const GOING_AWAY: u16 = 1001;
/// The peer saw a violation of the WebSocket protocol (RFC 6455).
pub const WEBSOCKET_ERROR: u16 = 1002;
/// The peer takes no frames of this type (RFC 6455).
pub const UNSUPPORTED_DATA: u16 = 1003;
/// The connection broke without a close. Seen, never sent.
pub const ABNORMAL: u16 = 1006;
/// The peer received text that is not UTF-8 (RFC 6455).
pub const INVALID_TEXT: u16 = 1007;
/// A message is larger than the peer, or this side's own WebSocket, can take (RFC 6455).
pub const MESSAGE_TOO_LARGE: u16 = 1009;
/// The peer wants a WebSocket extension (RFC 6455).
pub const EXTENSION_REQUIRED: u16 = 1010;
/// The server restarts.
pub const RESTART: u16 = 1012;
/// The server cannot take the client at present.
pub const TRY_AGAIN_LATER: u16 = 1013;
/// A frame cannot be decoded, or holds a message of the receiver's own side.
pub const MALFORMED: u16 = 4400;
/// The client has no valid token, or not any more.
pub const UNAUTHENTICATED: u16 = 4401;
/// The client may not connect here.
pub const FORBIDDEN: u16 = 4403;
/// A text frame where binary was agreed, or the reverse.
pub const WRONG_FRAME_TYPE: u16 = 4405;
/// The peer was silent for too long.
pub const HEARTBEAT_MISSED: u16 = 4408;
/// A request has the id of another one in flight.
pub const DUPLICATE_ID: u16 = 4409;
/// A newer socket of the same client took over.
pub const TAKEN_OVER: u16 = 4410;
/// A frame is larger than the grant.
pub const FRAME_TOO_LARGE: u16 = 4413;
/// The peer does not read in time what it is sent.
pub const SLOW_READER: u16 = 4429;
/// The server is out of memory, and the socket held most of it.
pub const OUT_OF_MEMORY: u16 = 4503;

/// Every code with a meaning in the protocol.
pub const CLOSE_CODES: &[CloseCode] = &[
    row(NORMAL, AfterClose::Stop, "The side that closes is done."),
    row(
        GOING_AWAY,
        AfterClose::Reconnect,
        "The server shuts down; another one may answer.",
    ),
    row(
        WEBSOCKET_ERROR,
        AfterClose::Stop,
        "A violation of the WebSocket protocol.",
    ),
    row(
        UNSUPPORTED_DATA,
        AfterClose::Stop,
        "A type of frame that the peer does not take.",
    ),
    row(
        ABNORMAL,
        AfterClose::Reconnect,
        "The connection broke. Seen, never sent.",
    ),
    row(INVALID_TEXT, AfterClose::Stop, "Text that is not UTF-8."),
    row(
        MESSAGE_TOO_LARGE,
        AfterClose::Stop,
        "A message that is too large for the receiver's WebSocket.",
    ),
    row(
        EXTENSION_REQUIRED,
        AfterClose::Stop,
        "A WebSocket extension is missing.",
    ),
    row(RESTART, AfterClose::Reconnect, "The server restarts."),
    row(
        TRY_AGAIN_LATER,
        AfterClose::Reconnect,
        "The server cannot take the client at present.",
    ),
    row(
        MALFORMED,
        AfterClose::Stop,
        "A frame that cannot be decoded.",
    ),
    row(
        UNAUTHENTICATED,
        AfterClose::Stop,
        "No valid token, or not any more.",
    ),
    row(
        FORBIDDEN,
        AfterClose::Stop,
        "The client may not connect here.",
    ),
    row(
        WRONG_FRAME_TYPE,
        AfterClose::Stop,
        "Text where binary was agreed, or the reverse.",
    ),
    row(
        HEARTBEAT_MISSED,
        AfterClose::Reconnect,
        "The peer was silent for two heartbeats.",
    ),
    row(
        DUPLICATE_ID,
        AfterClose::Stop,
        "A request with the id of one still in flight.",
    ),
    row(
        TAKEN_OVER,
        AfterClose::Stop,
        "A newer socket of the same client took over.",
    ),
    row(
        FRAME_TOO_LARGE,
        AfterClose::Stop,
        "A frame larger than was granted.",
    ),
    row(
        SLOW_READER,
        AfterClose::Reconnect,
        "The client did not read in time.",
    ),
    row(
        OUT_OF_MEMORY,
        AfterClose::Reconnect,
        "The server is out of memory, and the socket held most of it; or its subject has too many \
         sockets.",
    ),
];

/// Returns what a client does after a close with this code, or after an HTTP status in the place of
/// a connection. After a code that is not in the table it reconnects, except after 4400 to 4499,
/// which blame the client: it stops.
pub fn after_close(code: u16) -> AfterClose {
    match AFTER.iter().find(|(other, _)| *other == code) {
        Some((_, after)) => *after,
        None if matches!(code, 400 | 401 | 403 | 404 | 426 | 4400..4500) => AfterClose::Stop,
        None => AfterClose::Reconnect,
    }
}

/// Returns the error code of requests that a client cannot send any more after a close with this
/// code.
pub fn error_code(close_code: u16) -> &'static str {
    match after_close(close_code) {
        _ if close_code == NORMAL => code::CLOSED,
        _ if matches!(close_code, 401 | UNAUTHENTICATED) => code::NOAUTH,
        _ if matches!(close_code, 403 | FORBIDDEN) => code::NOPERM,
        AfterClose::Stop => code::PROTOCOL,
        AfterClose::Reconnect => code::DISCONNECTED,
    }
}

/// The table without its prose, which a browser need not download.
static AFTER: [(u16, AfterClose); CLOSE_CODES.len()] = {
    let mut after = [(0, AfterClose::Stop); CLOSE_CODES.len()];
    let mut place = 0;
    while place < CLOSE_CODES.len() {
        after[place] = (CLOSE_CODES[place].code, CLOSE_CODES[place].after);
        place += 1;
    }
    after
};

/// Returns the longest prefix of `reason` that fits into a close frame, cut at a character.
pub fn fit_reason(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_CLOSE_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

const fn row(code: u16, after: AfterClose, meaning: &'static str) -> CloseCode {
    CloseCode {
        code,
        after,
        meaning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_at_a_character() {
        assert_eq!(fit_reason("short"), "short");
        let long = "é".repeat(100);
        assert_eq!(fit_reason(&long), "é".repeat(61));
    }

    #[test]
    fn unknown_codes_stop_only_where_they_blame_the_client() {
        assert_eq!(after_close(4499), AfterClose::Stop);
        assert_eq!(after_close(4500), AfterClose::Reconnect);
        assert_eq!(after_close(1011), AfterClose::Reconnect);
        assert_eq!(after_close(HEARTBEAT_MISSED), AfterClose::Reconnect);
    }

    #[test]
    fn a_status_that_blames_the_client_stops() {
        for (status, code) in [
            (400, code::PROTOCOL),
            (401, code::NOAUTH),
            (403, code::NOPERM),
            (404, code::PROTOCOL),
            (426, code::PROTOCOL),
            (429, code::DISCONNECTED),
            (500, code::DISCONNECTED),
            (503, code::DISCONNECTED),
        ] {
            let stops = after_close(status) == AfterClose::Stop;
            assert_eq!(stops, code != code::DISCONNECTED, "{status}");
            assert_eq!(error_code(status), code, "{status}");
        }
    }

    #[test]
    fn codes_of_the_websocket_protocol_that_blame_a_side_stop() {
        for close_code in [1002, 1003, 1007, 1009, 1010, TAKEN_OVER] {
            assert_eq!(after_close(close_code), AfterClose::Stop, "{close_code}");
            assert_eq!(error_code(close_code), code::PROTOCOL, "{close_code}");
        }
        assert_eq!(error_code(NORMAL), code::CLOSED);
        assert_eq!(error_code(ABNORMAL), code::DISCONNECTED);
    }
}
