//! Names and values on the control socket, where they are JSON.
//!
//! Those that are not UTF-8 travel as `{"bytes": [255, 254]}`. Long ones of one repeated character
//! travel as `{"repeat": "x", "times": 20000}`: megabytes of JSON would delay the small calls.

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use streamgate_protocol::{ByteString, Bytes, Entry};

/// Shortest value that is packed, in bytes.
const MIN_PACKED: usize = 1_024;

/// The fields of an add, as the script expects them.
pub(super) fn fields(fields: &[(Bytes<'_>, Bytes<'_>)]) -> Vec<(Value, Value)> {
    let fields = fields.iter();
    fields.map(|(n, v)| (name(n), value(v))).collect()
}

/// A name, as the script expects it.
pub(super) fn name(name: impl AsRef<[u8]>) -> Value {
    let bytes = name.as_ref();
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "bytes": bytes }),
    }
}

fn value(value: &[u8]) -> Value {
    match value {
        // All bytes are equal if each is equal to the next.
        [first, rest @ ..]
            if first.is_ascii() && value.len() >= MIN_PACKED && value.starts_with(rest) =>
        {
            json!({ "repeat": char::from(*first), "times": value.len() })
        }
        _ => name(value),
    }
}

/// A name or a value, as the script reports it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Packed {
    Whole(String),
    Repeated { repeat: String, times: usize },
    Bytes { bytes: Vec<u8> },
}

impl From<Packed> for ByteString {
    fn from(packed: Packed) -> Self {
        match packed {
            Packed::Whole(text) => text.into(),
            Packed::Repeated { repeat, times } => repeat.repeat(times).into(),
            Packed::Bytes { bytes } => bytes.into(),
        }
    }
}

/// Deserializes entries whose values may be packed.
pub(super) fn entries<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Entry>, D::Error> {
    let entries = Vec::<(String, Vec<(Packed, Packed)>)>::deserialize(from)?;
    let entries = entries.into_iter();
    Ok(entries.map(|(id, fields)| Entry::new(id, fields)).collect())
}

/// Like `entries`, for a field that may be absent.
pub(super) fn some_entries<'de, D>(from: D) -> Result<Option<Vec<Entry>>, D::Error>
where
    D: Deserializer<'de>,
{
    entries(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_value_comes_out_whole() {
        let long = "x".repeat(MIN_PACKED);
        let whole = [("name".into(), long.clone().into())];
        let packed = fields(&whole);
        assert_eq!(
            json!(packed),
            json!([["name", { "repeat": "x", "times": MIN_PACKED }]])
        );
        let entry = json!([["1-1", packed]]);
        let whole = vec![Entry::new("1-1", [("name", long)])];
        assert_eq!(entries(entry).unwrap(), whole);
    }

    #[test]
    fn what_is_not_text_travels_as_bytes() {
        let whole = [(b"n\xff".into(), b"\0\xfe".into())];
        let packed = fields(&whole);
        assert_eq!(
            json!(packed),
            json!([[{ "bytes": [110, 255] }, { "bytes": [0, 254] }]])
        );
        let entry = json!([["1-1", packed]]);
        assert_eq!(
            entries(entry).unwrap(),
            [Entry::new("1-1", [(b"n\xff", b"\0\xfe")])]
        );
    }

    #[test]
    fn other_values_stay_as_they_are() {
        let almost = format!("{}y", "x".repeat(MIN_PACKED));
        for value in ["", "xxx", &almost, &"é".repeat(MIN_PACKED)] {
            let whole = [("name".into(), value.into())];
            assert_eq!(json!(fields(&whole)), json!([["name", value]]));
        }
    }
}
