//! A stream entry with named parts.

use crate::traits::StreamEntry;

/// A stream entry: its id and its fields. It converts from and into the tuple [`StreamEntry`].
///
/// ```
/// use streamgate_protocol::Entry;
///
/// let fields = [("item", "tea"), ("tag", "hot"), ("tag", "green")];
/// let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
/// let entry = Entry::from(("1700000000000-0".to_owned(), fields));
/// assert_eq!(entry.get("item"), Some("tea"));
/// assert_eq!(entry.get_all("tag").collect::<Vec<_>>(), ["hot", "green"]);
/// assert_eq!(entry.get("size"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Entry {
    /// The id, as the backend wrote it: `ms-seq`.
    pub id: String,
    /// Names and values in the order in which they were added. Names may repeat. An entry that was
    /// deleted while it was pending has none.
    pub fields: Vec<(String, String)>,
}

impl Entry {
    /// Builds an entry.
    pub fn new(id: impl Into<String>, fields: Vec<(String, String)>) -> Self {
        Self {
            id: id.into(),
            fields,
        }
    }

    /// Returns the value of the first field of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let (_, value) = fields.find(|(other, _)| other == name)?;
        Some(value)
    }

    /// Returns the values of all fields of this name, in order.
    pub fn get_all<'a, 'b>(&'a self, name: &'b str) -> impl Iterator<Item = &'a str> + use<'a, 'b> {
        let fields = self.fields.iter();
        fields.filter_map(move |(other, value)| (other == name).then_some(value.as_str()))
    }
}

impl From<StreamEntry> for Entry {
    fn from((id, fields): StreamEntry) -> Self {
        Self { id, fields }
    }
}

impl From<Entry> for StreamEntry {
    fn from(entry: Entry) -> Self {
        (entry.id, entry.fields)
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
    fn an_entry_without_fields_has_no_value() {
        let entry = Entry::new("1-0", Vec::new());
        assert_eq!(entry.get("n"), None);
        assert_eq!(entry.get_all("n").count(), 0);
    }
}
