//! Entry ids, read and generated as Redis does.

use std::fmt;

/// Redis copies an id into a buffer of 128 bytes, its end mark included.
const MAX_TEXT_BYTES: usize = 127;

/// An entry's id: milliseconds and a sequence number, which order it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct EntryId {
    ms: u64,
    seq: u64,
}

/// What a text means where Redis takes an id or `$`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// After this id.
    After(EntryId),
    /// `$`: after the last id that the stream generated.
    Last,
}

impl EntryId {
    /// Before every entry.
    pub const ZERO: Self = Self { ms: 0, seq: 0 };

    /// No entry comes after this one.
    pub const MAX: Self = Self {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    /// The id of an entry added at `now_ms` to a stream whose last id is this one; `None` when
    /// there is none left. A clock that stands still or goes back does not take ids with it.
    pub fn next(self, now_ms: u64) -> Option<Self> {
        if now_ms > self.ms {
            return Some(Self { ms: now_ms, seq: 0 });
        }
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { ms: self.ms, seq }),
            None => Some(Self {
                ms: self.ms.checked_add(1)?,
                seq: 0,
            }),
        }
    }

    /// The id right behind this one; none behind the last.
    pub fn successor(self) -> Option<Self> {
        self.next(0)
    }

    /// The id right before this one; none before the first.
    pub fn predecessor(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Self { ms: self.ms, seq }),
            None => Some(Self {
                ms: self.ms.checked_sub(1)?,
                seq: u64::MAX,
            }),
        }
    }

    /// Reads `ms` or `ms-seq`; `None` for what Redis calls an invalid stream ID.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_with(text, 0)
    }

    /// Reads where an interval begins, and returns its first id: `(` in front leaves the id out.
    pub fn parse_first(text: &str) -> Option<Self> {
        match text.strip_prefix('(') {
            Some(before) => Self::parse(before)?.successor(),
            None => Self::parse_end(text, 0),
        }
    }

    /// Reads where an interval ends, and returns its last id: `(` in front leaves the id out.
    pub fn parse_last(text: &str) -> Option<Self> {
        match text.strip_prefix('(') {
            Some(behind) => Self::parse_with(behind, u64::MAX)?.predecessor(),
            None => Self::parse_end(text, u64::MAX),
        }
    }

    fn parse_end(text: &str, missing_seq: u64) -> Option<Self> {
        match until_nul(text) {
            "-" => Some(Self::ZERO),
            "+" => Some(Self::MAX),
            _ => Self::parse_with(text, missing_seq),
        }
    }

    fn parse_with(text: &str, missing_seq: u64) -> Option<Self> {
        if text.len() > MAX_TEXT_BYTES {
            return None;
        }
        let text = until_nul(text);
        let (ms, seq) = match text.split_once('-') {
            Some((ms, seq)) => (ms, number(seq)?),
            None => (text, missing_seq),
        };
        Some(Self {
            ms: number(ms)?,
            seq,
        })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl Start {
    /// Reads an id or `$`.
    pub fn parse(text: &str) -> Option<Self> {
        if until_nul(text) == "$" {
            return Some(Self::Last);
        }
        EntryId::parse(text).map(Self::After)
    }
}

/// Redis reads an id as a C string.
fn until_nul(text: &str) -> &str {
    text.split_once('\0').map_or(text, |(before, _)| before)
}

/// Reads a number as Redis's `string2ull` does, which falls back on C's `strtoull`: blanks before
/// it, a sign and leading zeros are taken. A negative number is refused if it is written the
/// usual way, and wraps around if not (`-07`).
fn number(text: &str) -> Option<u64> {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r');
    let signed = text.trim_start_matches(blank);
    let (negative, digits) = match signed.as_bytes().first()? {
        b'-' => (true, &signed[1..]),
        b'+' => (false, &signed[1..]),
        _ => (false, signed),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    let usual = text.starts_with('-') && !digits.starts_with('0') && value <= 1 << 63;
    match negative {
        true if usual => None,
        true => Some(value.wrapping_neg()),
        false => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64, seq: u64) -> EntryId {
        EntryId { ms, seq }
    }

    #[test]
    fn ids_are_compared_as_numbers() {
        let parsed = |text| EntryId::parse(text).unwrap();
        assert!(parsed("9-1") < parsed("10-0"));
        assert!(parsed("10") < parsed("10-1"));
        assert_eq!(parsed("10"), parsed("10-0"));
        assert_eq!(parsed(&EntryId::MAX.to_string()), EntryId::MAX);
    }

    #[test]
    fn ids_follow_the_clock_and_never_go_back() {
        assert_eq!(EntryId::ZERO.next(0), Some(id(0, 1)));
        assert_eq!(EntryId::ZERO.next(7), Some(id(7, 0)));
        assert_eq!(id(7, 3).next(8), Some(id(8, 0)));
        assert_eq!(id(7, 3).next(7), Some(id(7, 4)));
        assert_eq!(id(7, 3).next(2), Some(id(7, 4)));
    }

    #[test]
    fn ids_run_over_into_the_milliseconds_and_then_out() {
        assert_eq!(id(7, u64::MAX).next(7), Some(id(8, 0)));
        assert_eq!(
            id(u64::MAX, u64::MAX - 1).next(7),
            Some(id(u64::MAX, u64::MAX))
        );
        assert_eq!(id(u64::MAX, u64::MAX).next(7), None);
        assert_eq!(id(u64::MAX, u64::MAX).next(u64::MAX), None);
    }

    #[test]
    fn neighbours_are_each_others() {
        for (before, behind) in [
            (id(7, 3), id(7, 4)),
            (id(7, u64::MAX), id(8, 0)),
            (EntryId::ZERO, id(0, 1)),
        ] {
            assert_eq!(before.successor(), Some(behind));
            assert_eq!(behind.predecessor(), Some(before));
        }
        assert_eq!(EntryId::ZERO.predecessor(), None);
        assert_eq!(EntryId::MAX.successor(), None);
    }

    #[test]
    fn an_id_is_milliseconds_and_perhaps_a_sequence_number() {
        assert_eq!(EntryId::parse("0"), Some(EntryId::ZERO));
        assert_eq!(EntryId::parse("5"), Some(id(5, 0)));
        assert_eq!(EntryId::parse("5-3"), Some(id(5, 3)));
        let most = u64::MAX;
        assert_eq!(
            EntryId::parse(&format!("{most}-{most}")),
            Some(id(most, most))
        );
        assert_eq!(id(5, 3).to_string(), "5-3");
    }

    /// Each was tried on Redis 7.0.15 and 8.2.3.
    #[test]
    fn odd_ids_that_redis_takes_are_taken() {
        for (text, expected) in [
            ("05", id(5, 0)),
            ("5-03", id(5, 3)),
            ("+5", id(5, 0)),
            (" 5", id(5, 0)),
            ("\t1", id(1, 0)),
            ("5- 7", id(5, 7)),
            ("5--0", id(5, 0)),
            ("5--05", id(5, u64::MAX - 4)),
            ("5--18446744073709551615", id(5, 1)),
            ("5\0-7", id(5, 0)),
        ] {
            assert_eq!(EntryId::parse(text), Some(expected), "{text:?}");
        }
    }

    /// Each was tried on Redis 7.0.15.
    #[test]
    fn malformed_ids_are_refused() {
        let long = format!("{}-1", "0".repeat(MAX_TEXT_BYTES - 1));
        for text in [
            "",
            "-",
            "+",
            ">",
            "*",
            "abc",
            "5-",
            "-5",
            "-0",
            "5-x",
            "5-*",
            "5-3-1",
            "5--7",
            "(5",
            "1e3",
            "0x5",
            " ",
            "5 ",
            "18446744073709551616",
            "5-18446744073709551616",
            "é",
            "\0",
            "$",
            &long,
        ] {
            assert_eq!(EntryId::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_ends_of_an_interval_are_ids_or_signs() {
        let most = u64::MAX;
        for (text, first, last) in [
            ("-", Some(EntryId::ZERO), Some(EntryId::ZERO)),
            ("+", Some(EntryId::MAX), Some(EntryId::MAX)),
            ("5", Some(id(5, 0)), Some(id(5, most))),
            ("5-3", Some(id(5, 3)), Some(id(5, 3))),
            ("(5-3", Some(id(5, 4)), Some(id(5, 2))),
            ("(5", Some(id(5, 1)), Some(id(5, most - 1))),
            ("(0-0", Some(id(0, 1)), None),
            ("(-", None, None),
            ("(+", None, None),
            ("((5", None, None),
            ("", None, None),
            ("$", None, None),
        ] {
            assert_eq!(EntryId::parse_first(text), first, "{text:?}");
            assert_eq!(EntryId::parse_last(text), last, "{text:?}");
        }
        assert_eq!(EntryId::parse_first(&format!("({most}-{most}")), None);
    }

    #[test]
    fn a_dollar_is_the_last_id() {
        assert_eq!(Start::parse("$"), Some(Start::Last));
        assert_eq!(Start::parse("5"), Some(Start::After(id(5, 0))));
        assert_eq!(Start::parse("$5"), None);
    }
}
