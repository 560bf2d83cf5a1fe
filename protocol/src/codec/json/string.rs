//! JSON strings: escapes, and text that is borrowed where it has none.

use std::borrow::Cow;

use crate::codec::wire::ReadError;

const NOT_TEXT: ReadError = ReadError::malformed("invalid text");

/// Reads a string after its opening quote. Returns the text, and the bytes up to and including the
/// closing quote.
pub(super) fn read(bytes: &[u8]) -> Result<(Cow<'_, str>, usize), ReadError> {
    let plain = plain_bytes(bytes);
    let first = utf8(&bytes[..plain])?;
    if bytes.get(plain) == Some(&b'"') {
        return Ok((Cow::Borrowed(first), plain + 1));
    }
    let mut text = String::from(first);
    let mut at = plain;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok((Cow::Owned(text), at + 1)),
            Some(b'\\') => at += 1 + unescape(&bytes[at + 1..], &mut text)?,
            _ => return Err(NOT_TEXT),
        }
        let plain = plain_bytes(&bytes[at..]);
        text.push_str(utf8(&bytes[at..at + plain])?);
        at += plain;
    }
}

/// Returns the bytes of a string after its opening quote, up to and including the closing quote.
/// Its escapes are checked, and not decoded.
pub(super) fn skip(bytes: &[u8]) -> Result<usize, ReadError> {
    let mut at = 0;
    loop {
        at += plain_bytes(&bytes[at..]);
        at += match bytes.get(at..at + 2) {
            Some([b'\\', b'u']) => {
                hex(&bytes[at + 2..])?;
                6
            }
            Some([b'\\', escape]) if br#""\/bfnrt"#.contains(escape) => 2,
            _ if bytes.get(at) == Some(&b'"') => return Ok(at + 1),
            _ => return Err(NOT_TEXT),
        };
    }
}

/// Returns the number of bytes before the next quote, backslash or control character: those that
/// stand for themselves.
pub(super) fn plain_bytes(bytes: &[u8]) -> usize {
    // Without a branch for each byte, so that the compiler compares many at once.
    let is_plain = |block: &[u8; 32]| {
        !block
            .iter()
            .fold(false, |any, byte| any | is_special(*byte))
    };
    let (blocks, _) = bytes.as_chunks();
    let mut start = 0;
    for block in blocks {
        if !is_plain(block) {
            break;
        }
        start += block.len();
    }
    let plain = |byte: &&u8| !is_special(**byte);
    start + bytes[start..].iter().take_while(plain).count()
}

fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

fn utf8(bytes: &[u8]) -> Result<&str, ReadError> {
    std::str::from_utf8(bytes).map_err(|_| NOT_TEXT)
}

/// Appends the character that an escape stands for. Returns the bytes after the backslash.
fn unescape(bytes: &[u8], text: &mut String) -> Result<usize, ReadError> {
    let character = match bytes.first().ok_or(NOT_TEXT)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let (character, length) = unicode(&bytes[1..])?;
            text.push(character);
            return Ok(1 + length);
        }
        _ => return Err(NOT_TEXT),
    };
    text.push(character);
    Ok(1)
}

/// Reads the digits of a `\u` escape, and the second half of a surrogate pair.
fn unicode(bytes: &[u8]) -> Result<(char, usize), ReadError> {
    let first = hex(bytes)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Ok((char::from_u32(first).ok_or(NOT_TEXT)?, 4));
    }
    if bytes.get(4..6) != Some(b"\\u") {
        return Err(NOT_TEXT);
    }
    let second = hex(&bytes[6..])?;
    if !(0xdc00..0xe000).contains(&second) {
        return Err(NOT_TEXT);
    }
    let number = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    Ok((char::from_u32(number).ok_or(NOT_TEXT)?, 10))
}

fn hex(bytes: &[u8]) -> Result<u32, ReadError> {
    let digits = bytes.get(..4).ok_or(NOT_TEXT)?;
    digits.iter().try_fold(0, |number, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(NOT_TEXT)?;
        Ok(number << 4 | digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_found_at_every_place() {
        for special in 0..=0xff {
            let is_special = matches!(special, b'"' | b'\\' | 0..=0x1f);
            for filler in [b' ', b'x', 0x7f, 0x80, 0xff, b'"' + 1, b'\\' - 1] {
                for at in 0..70 {
                    let mut bytes = [filler; 70];
                    bytes[at] = special;
                    let expected = if is_special { at } else { 70 };
                    assert_eq!(plain_bytes(&bytes), expected, "{special:#x} at {at}");
                }
            }
        }
    }
}
