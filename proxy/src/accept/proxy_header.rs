//! Version 2 of HAProxy's PROXY protocol: a trusted proxy says before the request which address it
//! was reached from.
//!
//! A proxy may also use HTTP's `X-Forwarded-For` instead. No HTTP request begins as the header of
//! the PROXY protocol does, so the server tells them apart by the first bytes.

use std::net::SocketAddr;

use ppp::v2::{Addresses, Command, Header, PROTOCOL_PREFIX};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of a header without addresses.
const FIXED_BYTES: usize = 16;

/// Longest header in bytes, including what proxies add to the addresses, such as TLS details.
const MAX_BYTES: usize = 4 * 1024;

/// What a trusted proxy has sent before the request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ProxyHeader {
    /// The request comes from this address, or from the proxy itself.
    Present(Option<SocketAddr>),
    /// These bytes, which belong to the request.
    Absent(Vec<u8>),
}

/// The header is invalid or too long, or the stream has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidProxyHeader;

/// Reads the header, if there is one, and nothing after it.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<ProxyHeader, InvalidProxyHeader> {
    let mut bytes = Vec::new();
    while bytes.len() < PROTOCOL_PREFIX.len() {
        // Not beyond the prefix: a request may be shorter than a header.
        let missing = PROTOCOL_PREFIX.len() - bytes.len();
        let read = (&mut *stream)
            .take(missing as u64)
            .read_buf(&mut bytes)
            .await;
        match read {
            Ok(1..) if PROTOCOL_PREFIX.starts_with(&bytes) => {}
            Ok(1..) => return Ok(ProxyHeader::Absent(bytes)),
            _ => return Err(InvalidProxyHeader),
        }
    }
    bytes.resize(FIXED_BYTES, 0);
    let fixed = stream.read_exact(&mut bytes[PROTOCOL_PREFIX.len()..]).await;
    fixed.map_err(|_| InvalidProxyHeader)?;
    let rest = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if FIXED_BYTES + rest > MAX_BYTES {
        return Err(InvalidProxyHeader);
    }
    bytes.resize(FIXED_BYTES + rest, 0);
    let rest = stream.read_exact(&mut bytes[FIXED_BYTES..]).await;
    rest.map_err(|_| InvalidProxyHeader)?;
    let header = Header::try_from(&*bytes).map_err(|_| InvalidProxyHeader)?;
    Ok(ProxyHeader::Present(source_of(&header)))
}

/// Returns `None` if the proxy speaks for itself, as for a health check.
fn source_of(header: &Header<'_>) -> Option<SocketAddr> {
    match (header.command, header.addresses) {
        (Command::Local, _) => None,
        (_, Addresses::IPv4(ip)) => Some((ip.source_address, ip.source_port).into()),
        (_, Addresses::IPv6(ip)) => Some((ip.source_address, ip.source_port).into()),
        (_, Addresses::Unspecified | Addresses::Unix(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use ppp::v2::{Builder, Protocol, Version};

    use super::*;

    fn header(source: &str, command: Command) -> Vec<u8> {
        let source: SocketAddr = source.parse().unwrap();
        let addresses = (source, source);
        Builder::with_addresses(Version::Two | command, Protocol::Stream, addresses)
            .build()
            .unwrap()
    }

    async fn read_all(mut bytes: &[u8]) -> (Result<ProxyHeader, InvalidProxyHeader>, &[u8]) {
        let header = read(&mut bytes).await;
        (header, bytes)
    }

    #[tokio::test]
    async fn the_address_is_read_and_nothing_after_it() {
        for source in ["192.0.2.1:4711", "[2001:db8::1]:4711"] {
            let mut bytes = header(source, Command::Proxy);
            bytes.extend(b"GET /");
            let address = Some(source.parse().unwrap());
            let expected = (Ok(ProxyHeader::Present(address)), &b"GET /"[..]);
            assert_eq!(read_all(&bytes).await, expected);
        }
        let local = header("192.0.2.1:1", Command::Local);
        assert_eq!(read_all(&local).await.0, Ok(ProxyHeader::Present(None)));
    }

    #[tokio::test]
    async fn a_request_without_a_header_keeps_its_bytes() {
        for request in ["GET / HTTP/1.1\r\n", "\r\nGET /", "G"] {
            let (header, rest) = read_all(request.as_bytes()).await;
            let Ok(ProxyHeader::Absent(mut bytes)) = header else {
                panic!("{request:?}: {header:?}");
            };
            bytes.extend(rest);
            assert_eq!(bytes, request.as_bytes());
        }
    }

    #[tokio::test]
    async fn an_invalid_header_is_refused() {
        let valid = header("192.0.2.1:1", Command::Proxy);
        for length in 0..valid.len() {
            let cut_off = read_all(&valid[..length]).await.0;
            assert_eq!(cut_off, Err(InvalidProxyHeader), "{length}");
        }
        // An unknown version, an unknown command, addresses that are too short, and a header that
        // is too long.
        for (index, byte) in [(12, 0x11), (12, 0x2f), (15, 11), (14, 0xff)] {
            let mut invalid = valid.clone();
            invalid[index] = byte;
            invalid.resize(1 << 17, 0);
            assert_eq!(read_all(&invalid).await.0, Err(InvalidProxyHeader));
        }
    }
}
