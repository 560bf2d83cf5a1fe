//! Writing JSON values.

use super::string;
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
    let mut rest = text.as_bytes();
    out.push(b'"');
    loop {
        let (plain, special) = rest.split_at(string::plain_bytes(rest));
        out.extend_from_slice(plain);
        let Some((byte, behind)) = special.split_first() else {
            break;
        };
        rest = behind;
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
}
