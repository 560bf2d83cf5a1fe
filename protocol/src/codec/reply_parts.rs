//! A reply with entries in parts, for whoever encodes a large one step by step.
//!
//! The begin, each entry and the end make the same bytes as the whole message.

use super::Encoding;
use super::binary::{self, uint_len};
use super::wire::Encode;
use crate::entry::Entry;
use crate::message::Reply;

/// The numbers of `reply` among the [`ServerMessage`](crate::ServerMessage)s, of `ok` among the
/// [`Outcome`](crate::message::Outcome)s, and of two [`Reply`]s.
const REPLY: u8 = 1;
const OK: u8 = 0;
const ENTRIES: u8 = 1;
const CLAIMED: u8 = 6;

/// The size of a reply's entries. JSON does not need it.
#[derive(Debug, Clone, Copy, Default)]
pub struct EntriesSize {
    /// How many there are.
    pub count: usize,
    /// The sum of their [`binary_entry_len`].
    pub binary_bytes: usize,
}

/// Returns the bytes of an entry in the binary encoding.
pub fn binary_entry_len(entry: &Entry) -> usize {
    let text = |length: usize| uint_len(length) + length;
    let fields = entry.fields.iter();
    let fields = fields.map(|(name, value)| text(name.len()) + text(value.len()));
    text(entry.id.len()) + uint_len(entry.fields.len()) + fields.sum::<usize>()
}

impl Encoding {
    /// Appends the begin of a reply with entries, which has a frame of its own: all before the first
    /// entry. Of the reply itself it reads all but its entries. Returns `false` if such a reply has
    /// no entries.
    pub fn begin_entries_reply(
        self,
        frame: &mut Vec<u8>,
        id: u64,
        reply: &Reply,
        size: EntriesSize,
    ) -> bool {
        let before: &dyn Fn(&mut Vec<u8>) = match reply {
            Reply::Entries { .. } => &|_| {},
            Reply::Claimed(claimed) => match self {
                Self::Binary => &|out| claimed.cursor.write_binary(out),
                #[cfg(feature = "json")]
                Self::Json => &|out| {
                    out.extend_from_slice(b"\"cursor\":");
                    claimed.cursor.write_json(out);
                    out.push(b',');
                },
            },
            _ => return false,
        };
        let is_claimed = matches!(reply, Reply::Claimed(_));
        match self {
            Self::Binary => {
                let mut id_bytes = [0; 10];
                let id = binary::uint_bytes(&mut id_bytes, id);
                let mut fields = Vec::new();
                before(&mut fields);
                binary::write_uint(&mut fields, size.count as u64);
                let mut end = Vec::new();
                self.end_entries_reply(&mut end, reply);
                let fields_len = fields.len() + size.binary_bytes + end.len();
                let reply_len = 1 + uint_len(fields_len) + fields_len;
                let message_len = id.len() + 1 + uint_len(reply_len) + reply_len;
                frame.push(REPLY);
                binary::write_uint(frame, message_len as u64);
                frame.extend_from_slice(id);
                frame.push(OK);
                binary::write_uint(frame, reply_len as u64);
                frame.push(if is_claimed { CLAIMED } else { ENTRIES });
                binary::write_uint(frame, fields_len as u64);
                frame.extend_from_slice(&fields);
            }
            #[cfg(feature = "json")]
            Self::Json => {
                frame.extend_from_slice(b"{\"reply\":{\"id\":");
                id.write_json(frame);
                frame.extend_from_slice(b",\"outcome\":{\"ok\":{\"");
                frame.extend_from_slice(if is_claimed { b"claimed" } else { b"entries" });
                frame.extend_from_slice(b"\":{");
                before(frame);
                frame.extend_from_slice(b"\"entries\":[");
            }
        }
        true
    }

    /// Appends an entry of such a reply.
    pub fn append_reply_entry(self, frame: &mut Vec<u8>, entry: &Entry, is_first: bool) {
        if !is_first && self.is_text() {
            frame.push(b',');
        }
        match self {
            Self::Binary => entry.write_binary(frame),
            #[cfg(feature = "json")]
            Self::Json => entry.write_json(frame),
        }
    }

    /// Appends the end of such a reply. In the binary encoding it must be the same as at its begin.
    pub fn end_entries_reply(self, frame: &mut Vec<u8>, reply: &Reply) {
        match (self, reply) {
            (Self::Binary, Reply::Entries { last_id, more, .. }) => {
                last_id.write_binary(frame);
                more.write_binary(frame);
            }
            (Self::Binary, Reply::Claimed(claimed)) => {
                claimed.deleted.write_binary(frame);
                claimed.more.write_binary(frame);
            }
            #[cfg(feature = "json")]
            (Self::Json, Reply::Entries { last_id, more, .. }) => {
                frame.extend_from_slice(b"],\"last_id\":");
                last_id.write_json(frame);
                end_json(frame, *more);
            }
            #[cfg(feature = "json")]
            (Self::Json, Reply::Claimed(claimed)) => {
                frame.extend_from_slice(b"],\"deleted\":");
                claimed.deleted.write_json(frame);
                end_json(frame, claimed.more);
            }
            _ => {}
        }
    }
}

#[cfg(feature = "json")]
fn end_json(frame: &mut Vec<u8>, more: bool) {
    frame.extend_from_slice(b",\"more\":");
    more.write_json(frame);
    frame.extend_from_slice(b"}}}}}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServerMessage;
    use crate::message::Outcome;
    use crate::pending::Claimed;

    fn entries(count: usize) -> Vec<Entry> {
        let value = |n: usize| "v\"\u{1}\u{e9}".repeat(n * n);
        let entry = |n| match n % 4 {
            0 => Entry::deleted(format!("{n}-0")),
            _ => Entry::new(
                format!("{n}-0"),
                [("f", value(n)), (&*"n".repeat(130), value(1))],
            ),
        };
        (0..count).map(entry).collect()
    }

    fn replies(count: usize) -> Vec<Reply> {
        let deleted = (0..count).map(|n| format!("{n}-7")).collect();
        let mut claimed = Claimed::new("9-9", entries(count), deleted);
        claimed.more = count > 3;
        vec![
            Reply::entries(entries(count)),
            Reply::Entries {
                entries: entries(count),
                last_id: Some("7-7".to_owned()),
                more: true,
            },
            Reply::Claimed(claimed),
        ]
    }

    #[test]
    fn the_parts_of_a_reply_are_the_reply() {
        for &encoding in Encoding::ALL {
            for count in [0, 1, 2, 20, 200] {
                for (reply, id) in replies(count).into_iter().zip([0, 300, u64::MAX]) {
                    let of_reply = match &reply {
                        Reply::Entries { entries, .. } => entries,
                        Reply::Claimed(claimed) => &claimed.entries,
                        other => panic!("{other:?}"),
                    };
                    let size = EntriesSize {
                        count,
                        binary_bytes: of_reply.iter().map(binary_entry_len).sum(),
                    };
                    let mut parts = Vec::new();
                    assert!(encoding.begin_entries_reply(&mut parts, id, &reply, size));
                    for (index, entry) in of_reply.iter().enumerate() {
                        encoding.append_reply_entry(&mut parts, entry, index == 0);
                    }
                    encoding.end_entries_reply(&mut parts, &reply);
                    let outcome = Outcome::Ok(reply);
                    let mut whole = Vec::new();
                    encoding.append(&mut whole, &ServerMessage::Reply { id, outcome });
                    assert_eq!(parts, whole, "{encoding:?}, {count} entries");
                }
            }
        }
    }

    #[test]
    fn other_replies_have_no_entries() {
        for &encoding in Encoding::ALL {
            let mut frame = Vec::new();
            let reply = Reply::Done {};
            assert!(!encoding.begin_entries_reply(&mut frame, 1, &reply, EntriesSize::default()));
            assert!(frame.is_empty());
        }
    }
}
