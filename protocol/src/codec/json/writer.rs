//! Writing JSON values.

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

/// Appends a string. Only quotes, backslashes and control characters are escaped.
pub(in crate::codec) fn write_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.push(b'"');
    let mut start = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if !matches!(byte, b'"' | b'\\' | 0..=0x1f) {
            continue;
        }
        out.extend_from_slice(&bytes[start..index]);
        start = index + 1;
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
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}
