//! A stream entry, whose names and values are bytes.

use std::borrow::Cow;

use crate::byte_string::ByteString;
use crate::traits::StreamEntry;

/// A stream entry: its id and its fields, whose names and values are bytes as Redis keeps them.
///
/// It is what tails, consumers and [`EntryOperations`](crate::EntryOperations) return. The six
/// operations of [`StreamingBackend`](crate::StreamingBackend) return the tuple [`StreamEntry`],
/// whose names and values are text; an entry converts from and into it.
///
/// ```
/// use streamgate_protocol::Entry;
///
/// let fields = [("item", "tea".as_bytes()), ("tag", b"hot"), ("tag", &[0xff])];
/// let entry = Entry::new("1700000000000-0", fields);
/// assert_eq!(entry.get("item").as_deref(), Some("tea"));
/// assert_eq!(entry.get_all("tag").collect::<Vec<_>>(), ["hot", "\u{fffd}"]);
/// assert_eq!(entry.get_bytes("tag"), Some(&b"hot"[..]));
/// assert_eq!(entry.get("size"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Entry {
    /// The id, as the backend wrote it: `ms-seq`.
    pub id: String,
    /// Names and values in the order in which they were added. Names may repeat. An entry that was
    /// deleted while it was pending has none.
    pub fields: Vec<(ByteString, ByteString)>,
}

impl Entry {
    /// Builds an entry.
    pub fn new<N, V>(id: impl Into<String>, fields: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<ByteString>,
        V: Into<ByteString>,
    {
        let fields = fields.into_iter();
        Self {
            id: id.into(),
            fields: fields.map(|(n, v)| (n.into(), v.into())).collect(),
        }
    }

    /// Builds an entry without fields, as one is that was deleted while it was pending.
    pub fn deleted(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            fields: Vec::new(),
        }
    }

    /// Returns the value of the first field of this name as text, with U+FFFD for what is not UTF-8.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get_all(name).next()
    }

    /// Returns the values of all fields of this name as text, in order.
    pub fn get_all<'a, 'b>(
        &'a self,
        name: &'b str,
    ) -> impl Iterator<Item = Cow<'a, str>> + use<'a, 'b> {
        let values = self.get_all_bytes(name.as_bytes());
        values.map(String::from_utf8_lossy)
    }

    /// Returns the value of the first field of this name.
    pub fn get_bytes(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.get_all_bytes(name.as_ref()).next()
    }

    /// Returns the values of all fields of this name, in order.
    pub fn get_all_bytes<'a, 'b>(
        &'a self,
        name: &'b [u8],
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'b> {
        let fields = self.fields.iter();
        fields.filter_map(move |(other, value)| (**other == *name).then_some(&**value))
    }
}

impl From<StreamEntry> for Entry {
    fn from((id, fields): StreamEntry) -> Self {
        Self::new(id, fields)
    }
}

impl From<Entry> for StreamEntry {
    /// Replaces what is not UTF-8 with U+FFFD.
    fn from(entry: Entry) -> Self {
        let fields = entry.fields.into_iter();
        let fields = fields.map(|(name, value)| (name.into_text(), value.into_text()));
        (entry.id, fields.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_survives_a_round_trip() {
        let tuple: StreamEntry = ("1-0".to_owned(), vec![("n".to_owned(), "v".to_owned())]);
        assert_eq!(StreamEntry::from(Entry::from(tuple.clone())), tuple);
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced_in_a_tuple_alone() {
        let entry = Entry::new("1-0", [(&b"n\xff"[..], &b"\xfe\0"[..])]);
        assert_eq!(entry.get_bytes(b"n\xff"), Some(&b"\xfe\0"[..]));
        assert_eq!(entry.get_bytes("n"), None);
        let field = ("n\u{fffd}".to_owned(), "\u{fffd}\0".to_owned());
        assert_eq!(StreamEntry::from(entry), ("1-0".to_owned(), vec![field]));
    }

    #[test]
    fn an_entry_without_fields_has_no_value() {
        let entry = Entry::deleted("1-0");
        assert_eq!(entry.get("n"), None);
        assert_eq!(entry.get_all("n").count(), 0);
    }
}
