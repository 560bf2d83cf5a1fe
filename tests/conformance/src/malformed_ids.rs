//! Texts that are not ids. Every operation that takes an id rejects them with `ERR`.

/// Texts that mean nothing in any field for an id. Redis rejects those before `+5`. It accepts
/// some of the others (with signs, blanks or NUL bytes) in some commands.
const MALFORMED: &[&str] = &[
    "",
    "abc",
    "*",
    ">",
    "1-",
    "-1",
    "1-2-3",
    "1-*",
    "1_1",
    "0x10",
    "1.5",
    "１-１",
    "18446744073709551616",
    "18446744073709551616-0",
    "0-18446744073709551616",
    "$$",
    "1-1 ",
    "5--7",
    "1e3",
    "\0",
    "+5",
    "+1",
    "+5-+3",
    "1-+1",
    " 5",
    " 1",
    "\t1",
    "5- 7",
    "5-+7",
    "5--0",
    "5--05",
    "5--18446744073709551615",
    "5\0-7",
    "5-7\0",
    "$\0",
    "-\0",
    "+\0",
    "(",
    "((1-1",
    "( 5",
    "(+5",
    "(-",
    "(+",
    "($",
];

/// Texts with a meaning in the ends of a range only.
const RANGE_ENDS: &[&str] = &["-", "+", "(0-0", "(1-1"];

/// Returns what a field rejects that takes an id and nothing else.
pub fn not_an_id() -> impl Iterator<Item = &'static str> {
    not_a_start().chain(["$"])
}

/// Returns what a field rejects that takes an id or `$`.
pub fn not_a_start() -> impl Iterator<Item = &'static str> {
    MALFORMED.iter().chain(RANGE_ENDS).copied()
}

/// Returns what a field rejects that takes an end of a range.
pub fn not_a_range_end() -> impl Iterator<Item = &'static str> {
    MALFORMED.iter().copied().chain(["$"])
}
