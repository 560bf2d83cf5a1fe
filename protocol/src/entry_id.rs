//! Entry ids: the only parser of them, and their order.

use std::fmt;
use std::str::FromStr;

use crate::error::{CacheError, code};
use crate::limits::MAX_ID_BYTES;
use crate::text::push_number;

/// The id of a stream entry: milliseconds since 1970 and a sequence number, in that order.
///
/// # Text
///
/// As text an id is `ms-seq`, or `ms` alone where the sequence number is 0. Both are decimal
/// numbers of 64 bits. Leading zeros are allowed, as in Redis. Anything else is refused: signs,
/// blanks, NUL bytes, and texts longer than [`MAX_ID_BYTES`].
///
/// Redis itself is laxer: it takes `+5`, ` 5` and `5--0`. Every streamgate backend refuses them, so
/// that one text means one id everywhere.
///
/// ```
/// use streamgate_protocol::EntryId;
///
/// let id: EntryId = "1700000000000-3".parse()?;
/// assert_eq!((id.ms, id.seq), (1_700_000_000_000, 3));
/// assert_eq!("05".parse(), Ok(EntryId::new(5, 0)));
/// assert_eq!(EntryId::new(5, 0).to_string(), "5-0");
/// assert!("+5".parse::<EntryId>().is_err());
/// # Ok::<_, streamgate_protocol::InvalidEntryId>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntryId {
    /// Milliseconds since 1970, by the clock of whoever generated the id.
    pub ms: u64,
    /// Distinguishes the entries of one millisecond.
    pub seq: u64,
}

/// A place in a stream from which a read, or a new group, starts: an id or `$`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartId {
    /// After this id.
    After(EntryId),
    /// `$`: after the last id that the stream generated.
    Last,
}

/// A text is not an entry id.
///
/// Converts into the [`CacheError`] that Redis's own refusal is: code `ERR`, and its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidEntryId;

impl EntryId {
    /// `0-0`: before every entry. No entry has it.
    pub const ZERO: Self = Self::new(0, 0);

    /// The greatest id: no entry comes after it.
    pub const MAX: Self = Self::new(u64::MAX, u64::MAX);

    /// Builds an id from its two numbers.
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// Parses `ms` or `ms-seq`. A missing sequence number is 0.
    ///
    /// # Errors
    ///
    /// [`InvalidEntryId`] for every other text.
    pub fn parse(text: &str) -> Result<Self, InvalidEntryId> {
        parse_with(text, 0)
    }

    /// Parses the start of a range and returns the first id in it.
    ///
    /// The text is an id, `(` and an id to exclude that one, `-` or `+`. A missing sequence number
    /// is 0.
    ///
    /// # Errors
    ///
    /// [`InvalidEntryId`] for every other text, and for `(` before the greatest id.
    pub fn parse_range_start(text: &str) -> Result<Self, InvalidEntryId> {
        match text.strip_prefix('(') {
            Some(excluded) => Self::parse(excluded)?.successor().ok_or(InvalidEntryId),
            None => parse_bound(text, 0),
        }
    }

    /// Parses the end of a range and returns the last id in it.
    ///
    /// The text is an id, `(` and an id to exclude that one, `-` or `+`. A missing sequence number
    /// is the greatest.
    ///
    /// # Errors
    ///
    /// [`InvalidEntryId`] for every other text, and for `(` before `0-0`.
    pub fn parse_range_end(text: &str) -> Result<Self, InvalidEntryId> {
        match text.strip_prefix('(') {
            Some(excluded) => parse_with(excluded, u64::MAX)?
                .predecessor()
                .ok_or(InvalidEntryId),
            None => parse_bound(text, u64::MAX),
        }
    }

    /// Returns the id of an entry added at `now_ms` to a stream whose last id is this one, or
    /// `None` after the greatest id. If the clock stands still or goes back, ids still grow.
    pub const fn next_at(self, now_ms: u64) -> Option<Self> {
        if now_ms > self.ms {
            Some(Self::new(now_ms, 0))
        } else {
            self.successor()
        }
    }

    /// Returns the next greater id, or `None` after the greatest.
    pub const fn successor(self) -> Option<Self> {
        match (self.seq.checked_add(1), self.ms.checked_add(1)) {
            (Some(seq), _) => Some(Self::new(self.ms, seq)),
            (None, Some(ms)) => Some(Self::new(ms, 0)),
            (None, None) => None,
        }
    }

    /// Returns the next smaller id, or `None` before `0-0`.
    pub const fn predecessor(self) -> Option<Self> {
        match (self.seq.checked_sub(1), self.ms.checked_sub(1)) {
            (Some(seq), _) => Some(Self::new(self.ms, seq)),
            (None, Some(ms)) => Some(Self::new(ms, u64::MAX)),
            (None, None) => None,
        }
    }
}

impl StartId {
    /// Parses an id or `$`.
    ///
    /// # Errors
    ///
    /// [`InvalidEntryId`] for every other text.
    pub fn parse(text: &str) -> Result<Self, InvalidEntryId> {
        match text {
            "$" => Ok(Self::Last),
            id => EntryId::parse(id).map(Self::After),
        }
    }
}

impl FromStr for EntryId {
    type Err = InvalidEntryId;

    fn from_str(text: &str) -> Result<Self, InvalidEntryId> {
        Self::parse(text)
    }
}

impl FromStr for StartId {
    type Err = InvalidEntryId;

    fn from_str(text: &str) -> Result<Self, InvalidEntryId> {
        Self::parse(text)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// The same text as [`Display`](fmt::Display) writes, without the standard library's formatting:
/// a kilobyte of a browser's download.
impl From<EntryId> for String {
    fn from(id: EntryId) -> Self {
        let mut text = Self::with_capacity("1700000000000-0".len());
        push_number(&mut text, id.ms);
        text.push('-');
        push_number(&mut text, id.seq);
        text
    }
}

impl fmt::Display for InvalidEntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(INVALID)
    }
}

impl std::error::Error for InvalidEntryId {}

impl From<InvalidEntryId> for CacheError {
    fn from(_: InvalidEntryId) -> Self {
        Self::from_code(code::ERR, INVALID)
    }
}

/// Redis's own words.
const INVALID: &str = "Invalid stream ID specified as stream command argument";

fn parse_bound(text: &str, missing_seq: u64) -> Result<EntryId, InvalidEntryId> {
    match text {
        "-" => Ok(EntryId::ZERO),
        "+" => Ok(EntryId::MAX),
        id => parse_with(id, missing_seq),
    }
}

fn parse_with(text: &str, missing_seq: u64) -> Result<EntryId, InvalidEntryId> {
    if text.len() > MAX_ID_BYTES {
        return Err(InvalidEntryId);
    }
    // Bytes, because searching text for a character is a larger download for browsers.
    let text = text.as_bytes();
    let mut parts = text.splitn(2, |byte| *byte == b'-');
    let ms = number(parts.next().unwrap_or_default())?;
    let seq = parts.next().map_or(Ok(missing_seq), number)?;
    Ok(EntryId::new(ms, seq))
}

/// Parses digits only. Smaller than what the standard library parses numbers with, which knows
/// signs and other bases.
fn number(digits: &[u8]) -> Result<u64, InvalidEntryId> {
    if digits.is_empty() {
        return Err(InvalidEntryId);
    }
    let append = |number: u64, digit: u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        // Not `checked_mul`, which multiplies in 128 bits.
        let has_room = number <= u64::MAX / 10;
        has_room.then(|| number * 10)?.checked_add(digit)
    };
    let parsed = digits.iter().copied().try_fold(0, append);
    parsed.ok_or(InvalidEntryId)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = u64::MAX;

    fn id(ms: u64, seq: u64) -> EntryId {
        EntryId::new(ms, seq)
    }

    #[test]
    fn ids_are_ordered_as_numbers() {
        let parsed = |text| EntryId::parse(text).unwrap();
        assert!(parsed("9-1") < parsed("10-0"));
        assert!(parsed("10") < parsed("10-1"));
        assert_eq!(parsed("10"), parsed("10-0"));
    }

    #[test]
    fn generated_ids_follow_the_clock_and_never_go_back() {
        assert_eq!(EntryId::ZERO.next_at(0), Some(id(0, 1)));
        assert_eq!(EntryId::ZERO.next_at(7), Some(id(7, 0)));
        assert_eq!(id(7, 3).next_at(8), Some(id(8, 0)));
        assert_eq!(id(7, 3).next_at(7), Some(id(7, 4)));
        assert_eq!(id(7, 3).next_at(2), Some(id(7, 4)));
    }

    #[test]
    fn generated_ids_carry_into_the_milliseconds_and_then_run_out() {
        assert_eq!(id(7, MOST).next_at(7), Some(id(8, 0)));
        assert_eq!(id(MOST, MOST - 1).next_at(7), Some(EntryId::MAX));
        assert_eq!(EntryId::MAX.next_at(7), None);
        assert_eq!(EntryId::MAX.next_at(MOST), None);
    }

    #[test]
    fn successor_and_predecessor_are_inverse() {
        for (smaller, greater) in [
            (id(7, 3), id(7, 4)),
            (id(7, MOST), id(8, 0)),
            (EntryId::ZERO, id(0, 1)),
        ] {
            assert_eq!(smaller.successor(), Some(greater));
            assert_eq!(greater.predecessor(), Some(smaller));
        }
        assert_eq!(EntryId::ZERO.predecessor(), None);
        assert_eq!(EntryId::MAX.successor(), None);
    }

    #[test]
    fn an_id_is_milliseconds_and_an_optional_sequence_number() {
        for (text, expected) in [
            ("0", EntryId::ZERO),
            ("5", id(5, 0)),
            ("5-3", id(5, 3)),
            ("05", id(5, 0)),
            ("5-03", id(5, 3)),
            ("18446744073709551615-18446744073709551615", EntryId::MAX),
        ] {
            assert_eq!(EntryId::parse(text), Ok(expected), "{text:?}");
        }
        let longest = format!("{}-1", "0".repeat(MAX_ID_BYTES - 2));
        assert_eq!(EntryId::parse(&longest), Ok(id(0, 1)));
    }

    #[test]
    fn an_id_is_written_in_one_way_only() {
        for id in [EntryId::ZERO, id(5, 3), EntryId::MAX] {
            assert_eq!(EntryId::parse(&id.to_string()), Ok(id));
            assert_eq!(String::from(id), id.to_string());
        }
        assert_eq!(id(5, 3).to_string(), "5-3");
    }

    /// Redis takes the first of them; the others it refuses too.
    #[test]
    fn anything_but_digits_is_refused() {
        let too_long = format!("{}-1", "0".repeat(MAX_ID_BYTES - 1));
        for text in [
            "+5",
            " 5",
            "\t1",
            "5- 7",
            "5-+7",
            "5--0",
            "5--05",
            "5--18446744073709551615",
            "5\0-7",
            "5\0",
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
            "5\n",
            "18446744073709551616",
            "5-18446744073709551616",
            "99999999999999999999999999",
            "é",
            "٥",
            "\0",
            "$",
            &too_long,
        ] {
            assert_eq!(EntryId::parse(text), Err(InvalidEntryId), "{text:?}");
        }
    }

    #[test]
    fn the_bounds_of_a_range_are_ids_or_signs() {
        for (text, start, end) in [
            ("-", Some(EntryId::ZERO), Some(EntryId::ZERO)),
            ("+", Some(EntryId::MAX), Some(EntryId::MAX)),
            ("5", Some(id(5, 0)), Some(id(5, MOST))),
            ("5-3", Some(id(5, 3)), Some(id(5, 3))),
            ("(5-3", Some(id(5, 4)), Some(id(5, 2))),
            ("(5", Some(id(5, 1)), Some(id(5, MOST - 1))),
            ("(0-0", Some(id(0, 1)), None),
            ("(-", None, None),
            ("(+", None, None),
            ("((5", None, None),
            ("( 5", None, None),
            ("-\0", None, None),
            ("", None, None),
            ("$", None, None),
        ] {
            assert_eq!(EntryId::parse_range_start(text).ok(), start, "{text:?}");
            assert_eq!(EntryId::parse_range_end(text).ok(), end, "{text:?}");
        }
        let excluded = format!("({}", EntryId::MAX);
        assert_eq!(EntryId::parse_range_start(&excluded), Err(InvalidEntryId));
    }

    #[test]
    fn a_start_is_an_id_or_a_dollar() {
        assert_eq!(StartId::parse("$"), Ok(StartId::Last));
        assert_eq!(StartId::parse("5"), Ok(StartId::After(id(5, 0))));
        for text in ["$5", "$\0", "", "-", "+", ">"] {
            assert_eq!(StartId::parse(text), Err(InvalidEntryId), "{text:?}");
        }
    }

    #[test]
    fn a_refusal_has_the_code_and_the_words_of_redis() {
        let error = CacheError::from(InvalidEntryId);
        assert_eq!(error.code(), code::ERR);
        assert_eq!(error.message(), InvalidEntryId.to_string());
    }
}
