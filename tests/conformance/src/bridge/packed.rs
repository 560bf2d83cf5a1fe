//! Long values of one repeated character, which travel on the control socket as
//! `{"repeat": "x", "times": 20000}`. Megabytes of JSON would delay the small calls.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use streamgate_protocol::{Bytes, Entry};

/// Shortest value that is packed, in bytes.
const MIN_PACKED: usize = 1_024;

/// The fields of an add, as the script expects them.
pub(super) fn fields<'a>(fields: &'a [(Bytes<'_>, Bytes<'_>)]) -> Vec<(Cow<'a, str>, Value)> {
    let pack = |value: &str| match value.as_bytes() {
        // All bytes are equal if each is equal to the next.
        [first, rest @ ..]
            if first.is_ascii()
                && value.len() >= MIN_PACKED
                && value.as_bytes().starts_with(rest) =>
        {
            json!({ "repeat": char::from(*first), "times": value.len() })
        }
        _ => value.into(),
    };
    let fields = fields.iter();
    let packed = fields.map(|(name, value)| (name.to_text(), pack(&value.to_text())));
    packed.collect()
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Packed {
    Whole(String),
    Repeated { repeat: String, times: usize },
}

impl From<Packed> for String {
    fn from(packed: Packed) -> Self {
        match packed {
            Packed::Whole(value) => value,
            Packed::Repeated { repeat, times } => repeat.repeat(times),
        }
    }
}

/// Deserializes entries whose values may be packed.
pub(super) fn entries<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Entry>, D::Error> {
    let entries = Vec::<(String, Vec<(String, Packed)>)>::deserialize(from)?;
    let whole = |(name, value): (String, Packed)| (name, String::from(value));
    let entries = entries.into_iter();
    Ok(entries
        .map(|(id, fields)| Entry::new(id, fields.into_iter().map(whole)))
        .collect())
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
    fn other_values_stay_as_they_are() {
        let almost = format!("{}y", "x".repeat(MIN_PACKED));
        for value in ["", "xxx", &almost, &"é".repeat(MIN_PACKED)] {
            let whole = [("name".into(), value.into())];
            assert_eq!(json!(fields(&whole)), json!([["name", value]]));
        }
    }
}
