//! Which URLs a WebSocket can be opened to.

use std::net::IpAddr;

use streamgate_protocol::{CacheError, CacheResult};

/// Refuses a URL that is not one of a WebSocket. Browsers would resolve it relative to the page,
/// and then fail without a reason.
pub(crate) fn check(url: &str) -> CacheResult<()> {
    let rest = url
        .strip_prefix("ws://")
        .or_else(|| url.strip_prefix("wss://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let why = match host {
        None => "it must begin with ws:// or wss://",
        Some("") => "it has no host",
        Some(_) if url.contains('#') => "remove the fragment",
        Some(_) if url.contains(char::is_whitespace) => "remove the white space",
        Some(_) => return Ok(()),
    };
    let mut text = String::from("invalid URL '");
    text.push_str(url);
    text.push_str("': ");
    text.push_str(why);
    Err(CacheError::ConfigError(text))
}

/// Returns whether nobody else can read what is sent to a URL: it is encrypted, or stays on this
/// machine.
pub(crate) fn keeps_secrets(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("ws://") else {
        return url.starts_with("wss://");
    };
    let authority = rest.split(['/', '?', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    let host = host.unwrap_or_default();
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn websocket_urls_are_accepted() {
        for url in ["ws://a", "wss://a.b:1/v1/ws?x=1", "ws://[::1]:8080/v1/ws"] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn other_urls_are_refused() {
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
    #[test]
    fn tokens_are_sent_encrypted_or_to_this_machine() {
        for url in [
            "wss://a.b/v1/ws",
            "ws://localhost:8080/v1/ws",
            "ws://127.0.0.1/v1/ws",
            "ws://127.3.2.1:80?x=1",
            "ws://[::1]:8080/v1/ws",
        ] {
            assert!(keeps_secrets(url), "{url}");
        }
        for url in [
            "ws://a.b/v1/ws",
            "ws://localhost.evil/v1/ws",
            "ws://localhost@evil/v1/ws",
            "ws://evil/localhost",
            "ws://[2001:db8::1]/v1/ws",
            "ws://evil\\@127.0.0.1/",
        ] {
            assert!(!keeps_secrets(url), "{url}");
        }
    }
}
