//! Hash tags: how the key of a dedup window comes to share its stream's slot in a Redis Cluster.
//!
//! If a key holds `{…}` with something between the first `{` and the next `}`, only that, the tag,
//! decides on its slot (cluster specification of Redis, "Hash tags").

use std::borrow::Cow;
use std::sync::LazyLock;

const SLOTS: usize = 16_384;

const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// A tag for each slot, made up.
static MADE_UP_TAGS: LazyLock<Vec<[u8; 4]>> = LazyLock::new(make_up_tags);

/// Returns a tag, without braces, that leads to the slot of `key`: its own tag, or all of it, or a
/// made-up one if a tag cannot hold it.
pub(crate) fn tag_of(key: &[u8]) -> Cow<'_, [u8]> {
    match own_tag(key) {
        Some(tag) => tag.into(),
        None if !key.is_empty() && !key.contains(&b'}') => key.into(),
        None => MADE_UP_TAGS[slot(key)].to_vec().into(),
    }
}

fn own_tag(key: &[u8]) -> Option<&[u8]> {
    let start = key.iter().position(|byte| *byte == b'{')? + 1;
    let length = key[start..].iter().position(|byte| *byte == b'}')?;
    (length > 0).then(|| &key[start..start + length])
}

/// Returns the slot of a key without a tag.
fn slot(key: &[u8]) -> usize {
    usize::from(crc16(key)) % SLOTS
}

/// CRC-16/XMODEM, as Redis computes it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

/// Tries words of four letters until each slot has one: about 105,000 of 1.7 million.
fn make_up_tags() -> Vec<[u8; 4]> {
    let mut tags = vec![[0; 4]; SLOTS];
    let mut missing = SLOTS;
    let words = (0..).map(|number: usize| {
        [1, 36, 36 * 36, 36 * 36 * 36].map(|place| LETTERS[number / place % 36])
    });
    for word in words.take(LETTERS.len().pow(4)) {
        let tag = &mut tags[slot(&word)];
        if *tag == [0; 4] {
            *tag = word;
            missing -= 1;
        }
        if missing == 0 {
            break;
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // The reference of the cluster specification.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
    }

    #[test]
    fn a_tag_is_the_keys_own_or_all_of_it() {
        for (key, tag) in [
            ("orders", "orders"),
            ("{orders}:eu", "orders"),
            ("a{b{c}d}", "b{c"),
            ("a{b", "a{b"),
            ("{", "{"),
        ] {
            assert_eq!(tag_of(key.as_bytes()), tag.as_bytes(), "{key}");
        }
    }

    #[test]
    fn where_no_part_of_a_key_is_a_tag_one_is_made_up() {
        for key in ["", "}", "{}", "{}x", "a}b", "}{", "x{}y{z}"] {
            let tag = tag_of(key.as_bytes());
            assert_eq!(slot(&tag), slot(key.as_bytes()), "{key}");
            assert!(tag.iter().all(|letter| LETTERS.contains(letter)), "{key}");
        }
    }

    #[test]
    fn there_is_a_made_up_tag_for_each_slot() {
        for (expected, tag) in MADE_UP_TAGS.iter().enumerate() {
            assert_eq!(slot(tag), expected);
        }
    }
}
