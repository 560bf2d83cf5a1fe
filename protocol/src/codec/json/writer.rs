//! Writing JSON values.

use super::{base64, string};
use crate::codec::wire::Encode;

pub(in crate::codec) fn write_uint(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

pub(in crate::codec) fn write_list<T: Encode>(out: &mut Vec<u8>, list: &[T]) {
    out.push(b'[');
    for (index, item) in list.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        item.write_json(out);
    }
    out.push(b']');
}

/// Appends bytes: as a string, or as `{"base64": "…"}` if they are not UTF-8 or if that is shorter.
pub(in crate::codec) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    const BEFORE: &[u8] = b"{\"base64\":\"";
    const AFTER: &[u8] = b"\"}";
    let in_base64 = BEFORE.len() + base64::encoded_bytes(bytes.len()) + AFTER.len();
    if let Ok(text) = std::str::from_utf8(bytes)
        && write_text_within(out, text, in_base64)
    {
        return;
    }
    out.extend_from_slice(BEFORE);
    base64::encode(out, bytes);
    out.extend_from_slice(AFTER);
}

/// Appends a string.
pub(in crate::codec) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_text_within(out, text, usize::MAX);
}

/// Appends a string if it takes at most `max_bytes`. Only quotes, backslashes and control
/// characters are escaped.
fn write_text_within(out: &mut Vec<u8>, text: &str, max_bytes: usize) -> bool {
    let start = out.len();
    let mut rest = text.as_bytes();
    out.push(b'"');
    loop {
        let (plain, special) = rest.split_at(string::plain_bytes(rest));
        out.extend_from_slice(plain);
        let Some((byte, behind)) = special.split_first() else {
            break;
        };
        rest = behind;
        // Checked here, because text without escapes is shorter than base64 of as many bytes. It
        // bounds what is written in vain.
        if out.len() - start > max_bytes {
            break;
        }
        out.push(b'\\');
        match byte {
            b'"' | b'\\' => out.push(*byte),
            0x8 => out.push(b'b'),
            0xc => out.push(b'f'),
            b'\n' => out.push(b'n'),
            b'\r' => out.push(b'r'),
            b'\t' => out.push(b't'),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let digit = |half: u8| DIGITS[usize::from(half)];
                out.extend_from_slice(&[b'u', b'0', b'0', digit(byte >> 4), digit(byte & 0xf)]);
            }
        }
    }
    out.push(b'"');
    let fits = out.len() - start <= max_bytes;
    if !fits {
        out.truncate(start);
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byte_string::Bytes;
    use crate::codec::Decode as _;
    use crate::codec::json::JsonReader;

    fn written(bytes: &[u8]) -> String {
        let mut out = b"before".to_vec();
        write_bytes(&mut out, bytes);
        String::from_utf8(out).unwrap().split_off("before".len())
    }

    #[test]
    fn text_is_a_string_unless_base64_is_shorter() {
        assert_eq!(written("tea \u{1f980}".as_bytes()), "\"tea \u{1f980}\"");
        assert_eq!(written(&[0]), r#""\u0000""#);
        // As long as `{"base64":"AAAA"}`.
        assert_eq!(written(b"\0\0abc"), r#""\u0000\u0000abc""#);
        assert_eq!(written(b"\0\0\0"), r#"{"base64":"AAAA"}"#);
        assert_eq!(written(&[b'"'; 60]).len(), 13 + 80);
        assert_eq!(written(b"\xff"), r#"{"base64":"/w=="}"#);
    }

    #[test]
    fn any_bytes_survive_and_are_never_much_longer() {
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..20_000 {
            let length = random.usize(..60);
            let most = [0x20, 0x80, 0xff][round % 3];
            let bytes: Vec<u8> = (0..length).map(|_| random.u8(..=most)).collect();
            let text = written(&bytes);
            assert!(text.len() <= 13 + base64::encoded_bytes(length), "{text}");
            let read = Bytes::read_json(&mut JsonReader::new(text.as_bytes())).unwrap();
            assert_eq!(read[..], bytes);
        }
    }

    /// A long value that is base64 in the end is not written as a string six times as long before.
    #[test]
    fn what_is_written_in_vain_is_bounded() {
        let zeros = vec![0; 300_000];
        let used = allocation_counter::measure(|| drop(written(&zeros)));
        assert!(used.bytes_max < 3 * 400_000, "{used:?}");
    }
}
