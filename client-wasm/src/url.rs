//! Addresses that a socket may be opened to.

use streamgate_protocol::{CacheError, CacheResult};

/// Refuses what is no WebSocket address. Browsers would resolve it relative to the page instead,
/// and then fail without a reason.
pub(crate) fn check(url: &str) -> CacheResult<()> {
    let rest = url
        .strip_prefix("ws://")
        .or_else(|| url.strip_prefix("wss://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let wrong = match host {
        None => "it must begin with ws:// or wss://",
        Some("") => "it names no host",
        Some(_) if url.contains('#') => "a fragment is not allowed",
        Some(_) if url.contains(char::is_whitespace) => "a space is not allowed",
        Some(_) => return Ok(()),
    };
    let mut text = url.to_owned();
    text.push_str(" is no address of a WebSocket: ");
    text.push_str(wrong);
    Err(CacheError::ConfigError(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn websocket_addresses_are_taken() {
        for url in ["ws://a", "wss://a.b:1/v1/ws?x=1", "ws://[::1]:8080/v1/ws"] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn others_are_not() {
        for url in [
            "",
            "http://a",
            "ws:a",
            "ws://",
            "ws:///x",
            "ws://a/#f",
            "ws://a b",
            "//a",
        ] {
            assert_eq!(check(url).unwrap_err().code(), "CONFIG", "{url}");
        }
    }
}
