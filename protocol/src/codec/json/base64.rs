//! Base64 (RFC 4648, section 4), with padding.
//!
//! JSON strings hold text alone, and a control character takes six bytes there. Base64 holds any
//! bytes in four thirds of their number, so every entry that can be added fits into a reply.

use crate::codec::wire::ReadError;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const NOT_BASE64: ReadError = ReadError::malformed("invalid base64");

/// Returns the number of characters, padding included.
pub(super) const fn encoded_bytes(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

pub(super) fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(encoded_bytes(bytes.len()));
    let (groups, rest) = bytes.as_chunks();
    for group in groups {
        out.extend_from_slice(&digits(*group));
    }
    let last = match *rest {
        [first, second] => [first, second, 0],
        [first] => [first, 0, 0],
        _ => return,
    };
    let (used, padding) = (rest.len() + 1, 3 - rest.len());
    out.extend_from_slice(&digits(last)[..used]);
    out.extend_from_slice(&b"=="[..padding]);
}

fn digits([first, second, third]: [u8; 3]) -> [u8; 4] {
    let bits = u32::from_be_bytes([0, first, second, third]);
    [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift) as usize % 64])
}

/// Decodes text that [`encode`] may have written. Anything else is refused, also bits that encode
/// nothing.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, ReadError> {
    let padding = text.len() - text.trim_end_matches('=').len();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return Err(NOT_BASE64);
    }
    let text = &text.as_bytes()[..text.len() - padding];
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.chunks(4) {
        let mut bits = 0;
        for character in chunk {
            bits = bits << 6 | value(*character)?;
        }
        let unused = 6 * (4 - chunk.len());
        let whole = (bits << unused).to_be_bytes();
        let count = chunk.len() * 3 / 4;
        bytes.extend_from_slice(&whole[1..=count]);
        if whole[count + 1..].iter().any(|byte| *byte != 0) {
            return Err(NOT_BASE64);
        }
    }
    Ok(bytes)
}

fn value(character: u8) -> Result<u32, ReadError> {
    Ok(u32::from(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return Err(NOT_BASE64),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            encode(&mut out, bytes.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), text);
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
            assert_eq!(encoded_bytes(bytes.len()), text.len());
        }
    }

    #[test]
    fn every_byte_survives() {
        let all: Vec<u8> = (0..=255).rev().collect();
        for start in 0..3 {
            let mut out = Vec::new();
            encode(&mut out, &all[start..]);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(decode(&text).unwrap(), all[start..]);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "Zg", "Zg=", "Zg===", "====", "Z===", "Zg==Zg==", "Zm9v=", "Zm 9", "Zm9-", "Zm9_",
            "Zh==", "Zm9=", "Zmé=", "=Zm9", "Z",
        ] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
