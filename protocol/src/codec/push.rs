//! Pushes that are encoded once for all subscribers.

use serde::Serialize;

use super::Encoding;
use super::append::Append;
use crate::error::{CacheError, CacheResult};
use crate::subscribe::Gap;
use crate::traits::StreamEntry;

/// The discriminant of `push` in a [`ServerMessage`](crate::ServerMessage).
const PUSH: u8 = 3;

/// A borrowed [`Item`](crate::message::Item). Both encode to the same bytes.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ItemRef<'a> {
    /// Entries, oldest first.
    Entries {
        /// The entries.
        entries: &'a [StreamEntry],
        /// The tail's position, unless that is the last entry's id.
        position: Option<&'a str>,
    },
    /// Entries are, or may be, missing here.
    Gap(&'a Gap),
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

impl Encoding {
    /// Encodes an item for any number of subscriptions.
    ///
    /// # Errors
    ///
    /// `SERIALIZATION`. Items of this protocol always encode.
    pub fn encode_item(self, item: ItemRef<'_>) -> CacheResult<EncodedItem> {
        let mut bytes = Vec::new();
        self.write(&mut bytes, &item)?;
        Ok(EncodedItem(bytes))
    }

    /// Appends the push of an item that the same encoding encoded. The frame is the same as after
    /// [`append`](Self::append) of that message.
    ///
    /// # Errors
    ///
    /// `SERIALIZATION`. Numbers always encode.
    pub fn append_push(self, frame: &mut Vec<u8>, id: u64, item: &EncodedItem) -> CacheResult<()> {
        match self {
            Self::Binary => {
                frame.push(PUSH);
                postcard::serialize_with_flavor(&id, Append(frame))
                    .map_err(|error| CacheError::SerializationError(error.to_string()))?;
                frame.extend_from_slice(&item.0);
            }
            #[cfg(feature = "json")]
            Self::Json => {
                if !frame.is_empty() {
                    frame.push(b'\n');
                }
                frame.extend_from_slice(b"{\"push\":{\"id\":");
                frame.extend_from_slice(id.to_string().as_bytes());
                frame.extend_from_slice(b",\"item\":");
                frame.extend_from_slice(&item.0);
                frame.extend_from_slice(b"}}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServerMessage;
    use crate::message::Item;

    #[test]
    fn a_push_encoded_once_is_the_push() {
        let entries = vec![("1-1".to_owned(), vec![("f\n".to_owned(), "v\"".to_owned())])];
        let gap = Gap {
            after: "1-1".to_owned(),
            first: Some("9-0".to_owned()),
            recreated: true,
            position: "8-0".to_owned(),
        };
        let position = Some("7-7".to_owned());
        let items = [
            Item::Entries {
                entries: entries.clone(),
                position: None,
            },
            Item::Entries { entries, position },
            Item::Gap(gap),
        ];
        for &encoding in Encoding::ALL {
            let (mut whole, mut pieces) = (Vec::new(), Vec::new());
            for (item, id) in items.iter().zip([0, 300, u64::MAX]) {
                let item = item.clone();
                let borrowed = match &item {
                    Item::Entries { entries, position } => ItemRef::Entries {
                        entries,
                        position: position.as_deref(),
                    },
                    Item::Gap(gap) => ItemRef::Gap(gap),
                };
                let encoded = encoding.encode_item(borrowed).unwrap();
                assert!(!encoded.is_empty() && encoded.len() > 3);
                encoding.append_push(&mut pieces, id, &encoded).unwrap();
                let message = ServerMessage::Push { id, item };
                encoding.append(&mut whole, &message).unwrap();
            }
            assert_eq!(pieces, whole, "{encoding:?}");
        }
    }
}
