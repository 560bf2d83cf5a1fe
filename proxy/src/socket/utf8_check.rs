//! Whether text that arrives in fragments is UTF-8.

use std::str::from_utf8;

/// The state after the fragments so far: of a character that they do not complete, its bytes.
#[derive(Debug, Default)]
pub(super) struct Utf8Check {
    begun: [u8; 4],
    length: usize,
}

impl Utf8Check {
    /// Returns whether the text may still be UTF-8 with this fragment; for the last one, whether it
    /// is.
    pub(super) fn is_valid(&mut self, mut fragment: &[u8], is_last: bool) -> bool {
        while self.length > 0
            && let Some((&byte, rest)) = fragment.split_first()
        {
            // A character has four bytes at most, so it was complete or wrong before a fifth.
            self.begun[self.length] = byte;
            self.length += 1;
            fragment = rest;
            match from_utf8(&self.begun[..self.length]) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        if let Err(error) = from_utf8(fragment) {
            if error.error_len().is_some() {
                return false;
            }
            let begun = &fragment[error.valid_up_to()..];
            self.begun[..begun.len()].copy_from_slice(begun);
            self.length = begun.len();
        }
        !is_last || self.length == 0
    }
}
