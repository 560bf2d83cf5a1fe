//! Which addresses are safe to listen on.

use std::net::SocketAddr;

/// Returns the first address that other machines can reach.
pub(super) fn first_beyond_loopback(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    addresses
        .iter()
        .copied()
        .find(|address| !address.ip().to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

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
