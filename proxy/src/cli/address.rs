//! Addresses: which ones are safe to listen on, and how to show a URL without its secrets.

use std::net::SocketAddr;

/// Returns the first address that other machines can reach.
pub(super) fn first_beyond_loopback(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    addresses
        .iter()
        .copied()
        .find(|address| !address.ip().to_canonical().is_loopback())
}

/// Returns a URL without its secrets: user, password and parameters.
///
/// Everything before the last `@` counts as secret: a password that should have been
/// percent-encoded may contain any character.
pub(super) fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("redis", url));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    format!("{scheme}://{}", &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let shown = [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://:secret@host:6379/2", "redis://host:6379/2"),
            ("rediss://user:secret@host", "rediss://host"),
            ("redis://user:se/cr@et@host:1/0", "redis://host:1/0"),
            ("redis://user:se?cr#et@host", "redis://host"),
            ("redis://host?password=secret", "redis://host"),
            ("user:secret@host", "redis://host"),
            (
                "unix:///run/redis.sock?pass=secret",
                "unix:///run/redis.sock",
            ),
        ];
        for (url, expected) in shown {
            assert_eq!(without_password(url), expected);
        }
    }

    #[test]
    fn only_loopback_addresses_are_safe() {
        let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
        for loopback in [
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(
                first_beyond_loopback(&[parse(loopback)]),
                None,
                "{loopback}"
            );
        }
        for reachable in ["0.0.0.0:1", "[::]:1", "192.168.0.1:1", "[fe80::1]:1"] {
            let addresses = [parse("127.0.0.1:1"), parse(reachable)];
            assert_eq!(first_beyond_loopback(&addresses), Some(addresses[1]));
        }
    }
}
