//! The proxies whose word the server takes for a client's address.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The addresses of the proxies in front of a server.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        Self(networks.to_vec())
    }

    pub(crate) fn contain(&self, peer: SocketAddr) -> bool {
        let address = peer.ip().to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Returns the address that a request comes from.
    ///
    /// Each proxy appends to `X-Forwarded-For` the address that it was reached from. So the last
    /// one that no trusted proxy has is the client's; whatever is before it may be invented.
    pub(crate) fn client_of(&self, headers: &HeaderMap, peer: SocketAddr) -> SocketAddr {
        if !self.contain(peer) {
            return peer;
        }
        // A proxy may append to what a client has sent, which may be any bytes.
        let forwarded: Vec<&str> = headers
            .get_all(X_FORWARDED_FOR)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(|address| std::str::from_utf8(address).unwrap_or_default())
            .collect();
        let mut client = peer;
        for address in forwarded.iter().rev() {
            let Some(address) = parse_address(address.trim()) else {
                break;
            };
            client = address;
            if !self.contain(client) {
                break;
            }
        }
        client
    }
}

/// Parses an address with or without a port. Returns port 0 if there is none.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    match address {
        Ok(address) => Some(SocketAddr::new(address, 0)),
        Err(_) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client_of(peer: &str, forwarded: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(X_FORWARDED_FOR, value.parse().unwrap());
        }
        let client = TrustedProxies::new(&trusted).client_of(&headers, peer.parse().unwrap());
        client.ip().to_string()
    }

    #[test]
    fn a_stranger_cannot_choose_its_address() {
        assert_eq!(client_of("192.0.2.1:1", &["198.51.100.1"]), "192.0.2.1");
        // It sent the first address itself, and the proxy appended the second.
        let forged = client_of("10.0.0.1:1", &["198.51.100.1, 192.0.2.1"]);
        assert_eq!(forged, "192.0.2.1");
        let mut headers = HeaderMap::new();
        let bytes = HeaderValue::from_bytes(b"\xff, 192.0.2.1").unwrap();
        headers.append(X_FORWARDED_FOR, bytes);
        let trusted = TrustedProxies::new(&["10.0.0.0/8".parse().unwrap()]);
        let client = trusted.client_of(&headers, "10.0.0.1:1".parse().unwrap());
        assert_eq!(client.ip().to_string(), "192.0.2.1");
    }

    #[test]
    fn the_last_address_that_no_trusted_proxy_has_is_the_clients() {
        for forwarded in [
            &["192.0.2.1"][..],
            &["192.0.2.1:4711"],
            &["192.0.2.1, 10.0.0.2"],
            &["192.0.2.1", "10.0.0.3,10.0.0.2"],
        ] {
            assert_eq!(client_of("10.0.0.1:1", forwarded), "192.0.2.1");
        }
        for forwarded in ["2a00::1", "[2a00::1]", "[2a00::1]:443"] {
            assert_eq!(client_of("[2001:db8::1]:1", &[forwarded]), "2a00::1");
        }
        assert_eq!(
            client_of("[::ffff:10.0.0.1]:1", &["192.0.2.1"]),
            "192.0.2.1"
        );
    }

    #[test]
    fn without_a_readable_address_the_proxys_own_counts() {
        for forwarded in [&[][..], &[""], &["unknown"], &["192.0.2.1, _hidden"]] {
            assert_eq!(client_of("10.0.0.1:1", forwarded), "10.0.0.1");
        }
    }
}
