//! Secrets: read from a file or from the environment, and never shown.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use super::SettingsError;
use super::document::Document;
use super::inputs::Inputs;

/// A secret.
#[derive(Clone)]
pub(in crate::cli) struct Secret(Vec<u8>);

/// Without the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    pub(in crate::cli) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads a file. A line's end at its end, which editors add, is no part of the secret.
    pub(super) fn from_file(
        file: &Path,
        inputs: &mut Inputs,
        document: &Document<'_>,
        span: &Range<usize>,
    ) -> Result<Self, SettingsError> {
        let mut bytes = document.read(inputs, &document.resolve(file), span)?;
        if bytes.ends_with(b"\n") {
            bytes.pop();
            if bytes.ends_with(b"\r") {
                bytes.pop();
            }
        }
        Ok(Self(bytes))
    }

    /// Reads an environment variable, which a part of a document names.
    pub(super) fn from_env(
        name: &str,
        document: &Document<'_>,
        span: &Range<usize>,
    ) -> Result<Self, SettingsError> {
        // Not every name is one: the system's function panics for these.
        let is_name = !name.is_empty() && !name.contains(['=', '\0']);
        match is_name.then(|| std::env::var_os(name)).flatten() {
            Some(value) => Ok(Self(value.into_encoded_bytes())),
            None => Err(document.error_at(
                span,
                "the environment variable that `secret_env` names is not set",
            )),
        }
    }
}
