//! Reading JavaScript's values.

use js_sys::Array;

/// Returns the strings of a list. JavaScript has checked that they are strings.
pub(super) fn strings(values: &Array) -> impl Iterator<Item = String> {
    (0..values.length()).map(|index| values.get(index).as_string().unwrap_or_default())
}

/// Returns a number, or `None` for a negative one, which stands for an absent one, and for NaN.
pub(super) fn number(value: f64) -> Option<u64> {
    (value >= 0.0).then_some(value as u64)
}
