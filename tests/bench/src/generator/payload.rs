//! The values that are added: all of one length, each with a number.

/// The length of every value in bytes.
pub(super) const BYTES: usize = 100;

const DIGITS: usize = 10;

/// Returns the value that carries a number.
pub(super) fn numbered(number: usize) -> String {
    let mut value = format!("{number:0DIGITS$}");
    value.extend(std::iter::repeat_n('v', BYTES - DIGITS));
    value
}

/// Returns the number that a value carries.
pub(super) fn number(value: &[u8]) -> anyhow::Result<usize> {
    let digits = value.get(..DIGITS).unwrap_or(value);
    Ok(std::str::from_utf8(digits)?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_its_length_and_its_number() {
        let value = numbered(4711);
        assert_eq!(value.len(), BYTES);
        assert_eq!(number(value.as_bytes()).unwrap(), 4711);
        assert!(number(b"none").is_err());
    }
}
