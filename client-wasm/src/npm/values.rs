//! Reading JavaScript's values.

use js_sys::{Array, Uint8Array};
use streamgate_protocol::Bytes;
use wasm_bindgen::{JsCast as _, JsValue};

/// Returns a name or a value: a string or a `Uint8Array`, which JavaScript has checked.
pub(super) fn bytes(value: &JsValue) -> Bytes<'static> {
    match value.as_string() {
        Some(text) => text.into(),
        None => value.unchecked_ref::<Uint8Array>().to_vec().into(),
    }
}

/// Returns a string, which JavaScript has checked.
pub(super) fn string(value: &JsValue) -> String {
    value.as_string().unwrap_or_default()
}

/// Returns the values of a list.
pub(super) fn values(list: &Array) -> impl Iterator<Item = JsValue> {
    (0..list.length()).map(|index| list.get(index))
}

/// Returns a number, or `None` for a negative one, which stands for an absent one, and for NaN.
pub(super) fn number(value: f64) -> Option<u64> {
    (value >= 0.0).then_some(value as u64)
}
