//! Ids of entries as numbers, so that they can be compared.

/// The id of an entry: milliseconds, then a sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryId {
    ms: u64,
    seq: u64,
}

impl EntryId {
    /// No entry comes after this one.
    pub(super) const MAX: Self = Self {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    /// Reads `ms` (which stands for `ms-0`) or `ms-seq`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (ms, seq) = match text.split_once('-') {
            Some((ms, seq)) => (ms, seq.parse().ok()?),
            None => (text, 0),
        };
        Some(Self {
            ms: ms.parse().ok()?,
            seq,
        })
    }
}

impl std::fmt::Display for EntryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_as_numbers() {
        let id = |text| EntryId::parse(text).unwrap();
        assert!(id("9-1") < id("10-0"));
        assert!(id("10") < id("10-1"));
        assert_eq!(id("10"), id("10-0"));
        assert_eq!(id(&EntryId::MAX.to_string()), EntryId::MAX);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "-",
            "1-",
            "-1",
            "$",
            "+",
            "a",
            "1-a",
            "1-2-3",
            "18446744073709551616",
        ] {
            assert_eq!(EntryId::parse(text), None, "{text:?}");
        }
    }
}
