//! Pushes that are encoded once for all subscribers.

#[cfg(feature = "json")]
use super::Encode;
use super::{Encoding, binary};
use crate::entry::Entry;
use crate::subscribe::{Gap, Skipped};

/// The number of `push` among the [`ServerMessage`](crate::ServerMessage)s.
const PUSH: u8 = 2;

/// A borrowed [`Item`](crate::message::Item). Both encode to the same bytes.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum ItemRef<'a> {
    /// Entries, oldest first.
    Entries {
        /// The entries.
        entries: &'a [Entry],
        /// The tail's position, unless that is the last entry's id.
        position: Option<&'a str>,
    },
    /// Entries are, or may be, missing here.
    Gap(&'a Gap),
    /// An entry that cannot be carried.
    Skipped(&'a Skipped),
}

/// An item in one encoding, without the id of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedItem(Vec<u8>);

impl EncodedItem {
    /// Returns the number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns `false`: every item has bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl AsRef<[u8]> for EncodedItem {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Encoding {
    /// Encodes an item for any number of subscriptions.
    pub fn encode_item(self, item: ItemRef<'_>) -> EncodedItem {
        let mut bytes = Vec::new();
        self.append(&mut bytes, &item);
        // Slow readers may keep a large one for a while.
        if bytes.capacity() - bytes.len() > bytes.len() / 8 {
            bytes.shrink_to_fit();
        }
        EncodedItem(bytes)
    }

    /// Appends the push of an item that the same encoding encoded. The frame is the same as after
    /// [`append`](Self::append) of that message.
    pub fn append_push(self, frame: &mut Vec<u8>, id: u64, item: &EncodedItem) {
        self.begin_push(frame, id, item.len());
        frame.extend_from_slice(&item.0);
        frame.extend_from_slice(self.push_end());
    }

    /// Appends the bytes before an item of this length. The caller may send the item without a copy.
    pub fn begin_push(self, frame: &mut Vec<u8>, id: u64, item_len: usize) {
        match self {
            Self::Binary => {
                // The record's length is known before its fields are written, so they need not be
                // moved.
                let mut number = [0; 10];
                let number = binary::uint_bytes(&mut number, id);
                frame.push(PUSH);
                binary::write_uint(frame, (number.len() + item_len) as u64);
                frame.extend_from_slice(number);
            }
            #[cfg(feature = "json")]
            Self::Json => {
                if !frame.is_empty() {
                    frame.push(b'\n');
                }
                frame.extend_from_slice(b"{\"push\":{\"id\":");
                id.write_json(frame);
                frame.extend_from_slice(b",\"item\":");
            }
        }
    }

    /// Returns the bytes after the item.
    pub const fn push_end(self) -> &'static [u8] {
        match self {
            Self::Binary => b"",
            #[cfg(feature = "json")]
            Self::Json => b"}}",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServerMessage;
    use crate::message::Item;
    use crate::subscribe::GapReason;

    #[test]
    fn a_push_encoded_once_is_the_push() {
        let entries = vec![Entry::new("1-1", [("f\n", "v\"")])];
        let gap = Gap {
            after: "1-1".to_owned(),
            first: Some("9-0".to_owned()),
            reason: GapReason::Recreated,
            position: "8-0".to_owned(),
        };
        let skipped = Skipped::new("5-0", 20_000_000);
        let large = Entry::new("1-1", [("f", "v".repeat(300))]);
        let position = Some("7-7".to_owned());
        let items = [
            Item::Entries {
                entries: entries.clone(),
                position: None,
            },
            Item::Entries { entries, position },
            Item::Entries {
                entries: vec![large],
                position: None,
            },
            Item::Gap(gap),
            Item::Skipped(skipped),
        ];
        for &encoding in Encoding::ALL {
            let (mut whole, mut pieces) = (Vec::new(), Vec::new());
            for (item, id) in items.iter().zip([0, 300, u64::MAX, 1, 2]) {
                let item = item.clone();
                let borrowed = match &item {
                    Item::Entries { entries, position } => ItemRef::Entries {
                        entries,
                        position: position.as_deref(),
                    },
                    Item::Gap(gap) => ItemRef::Gap(gap),
                    Item::Skipped(skipped) => ItemRef::Skipped(skipped),
                };
                let encoded = encoding.encode_item(borrowed);
                assert!(!encoded.is_empty() && encoded.len() > 3);
                encoding.append_push(&mut pieces, id, &encoded);
                let message = ServerMessage::Push { id, item };
                encoding.append(&mut whole, &message);
            }
            assert_eq!(pieces, whole, "{encoding:?}");
        }
    }
}
