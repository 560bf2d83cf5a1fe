//! A large push whose item no socket copies: all that push it send the same bytes.
//!
//! Otherwise an entry of 100 kB for 200 sockets would be 20 MB to copy at once, and as much memory
//! while they read slowly.

use std::sync::Arc;

use streamgate_protocol::codec::{EncodedItem, Encoding};
use tokio_tungstenite::tungstenite::Bytes;

use crate::session::outgoing::PieceSource;
use crate::socket::{FRAGMENT_BYTES, Piece};

/// Items from this size on are shared.
pub(super) const SHARED_BYTES: usize = 2 * FRAGMENT_BYTES;

/// A push that is being sent.
pub(super) struct SharedPush {
    encoding: Encoding,
    /// The push's bytes before the item, until they are sent.
    begin: Vec<u8>,
    /// The rest of the item.
    item: Bytes,
    /// Bytes of the whole item, which stays in memory until all of it is sent.
    item_bytes: usize,
}

/// Lends an item.
struct SharedItem(Arc<EncodedItem>);

impl AsRef<[u8]> for SharedItem {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl SharedPush {
    pub(super) fn new(encoding: Encoding, id: u64, item: &Arc<EncodedItem>) -> Self {
        let item = Bytes::from_owner(SharedItem(Arc::clone(item)));
        let mut begin = Vec::new();
        encoding.begin_push(&mut begin, id, item.len());
        Self {
            encoding,
            begin,
            item_bytes: item.len(),
            item,
        }
    }
}

impl PieceSource for SharedPush {
    fn held_bytes(&self) -> usize {
        self.item_bytes
    }

    /// Copies only what shares a fragment with the push's own bytes.
    fn next_piece(&mut self) -> Piece {
        let is_text = self.encoding.is_text();
        if !self.begin.is_empty() {
            let mut first = std::mem::take(&mut self.begin);
            let bytes = FRAGMENT_BYTES.saturating_sub(first.len());
            first.extend_from_slice(&self.item.split_to(bytes.min(self.item.len())));
            return Piece::new(first, false);
        }
        let is_last = !is_text && self.item.len() <= FRAGMENT_BYTES;
        if !is_last && self.item.len() >= FRAGMENT_BYTES {
            return Piece::shared(self.item.split_to(FRAGMENT_BYTES), 0, false);
        }
        let item = std::mem::take(&mut self.item);
        let item_bytes = std::mem::take(&mut self.item_bytes);
        if is_last {
            return Piece::shared(item, item_bytes, true);
        }
        let last = [&item[..], self.encoding.push_end()].concat();
        Piece::new(last, true)
    }
}

#[cfg(test)]
mod tests {
    use streamgate_backend::Segment;
    use streamgate_protocol::Entry;

    use super::*;

    #[test]
    fn the_pieces_of_a_push_are_the_push() {
        for &encoding in Encoding::ALL {
            for bytes in [
                SHARED_BYTES,
                3 * FRAGMENT_BYTES - 1,
                3 * FRAGMENT_BYTES,
                1_000_000,
            ] {
                let segment = Segment::new(vec![Entry::new("1-1", [("f", "x".repeat(bytes))])]);
                let mut expected = Vec::new();
                encoding.append_push(&mut expected, 7, segment.encoded(encoding));
                let mut push = SharedPush::new(encoding, 7, segment.encoded(encoding));
                let held = push.held_bytes();
                let mut frame = Vec::new();
                loop {
                    let piece = push.next_piece();
                    frame.extend_from_slice(&piece.bytes);
                    if piece.ends_frame {
                        assert_eq!(push.held_bytes(), 0);
                        assert!(
                            encoding.is_text() || piece.memory == held,
                            "it has the item"
                        );
                        break;
                    }
                    assert_eq!(piece.bytes.len() % FRAGMENT_BYTES, 0, "whole fragments");
                    assert_eq!(push.held_bytes(), held, "the item is all there");
                }
                assert!(frame == expected, "{encoding:?}, {bytes} bytes");
            }
        }
    }
}
