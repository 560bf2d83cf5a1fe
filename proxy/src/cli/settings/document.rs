//! A TOML document, and errors that name its lines.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error, ValueDeserializer};

use super::inputs::Inputs;
use super::suggestion::did_you_mean;
use super::{MAX_FILE_BYTES, SettingsError};

/// The text of a file, and where it came from.
pub(super) struct Document<'t> {
    path: &'t Path,
    text: &'t str,
}

impl<'t> Document<'t> {
    pub(super) fn new(path: &'t Path, text: &'t str) -> Self {
        Self { path, text }
    }

    pub(super) fn parse(&self) -> Result<DeTable<'t>, SettingsError> {
        let table = DeTable::parse(self.text).map_err(|error| self.invalid(&error))?;
        Ok(table.into_inner())
    }

    /// Returns the keys of a section.
    pub(super) fn table(
        &self,
        name: &str,
        section: Spanned<DeValue<'t>>,
    ) -> Result<DeTable<'t>, SettingsError> {
        let span = section.span();
        match section.into_inner() {
            DeValue::Table(table) => Ok(table),
            _ => Err(self.error_at(&span, format!("'{name}' must be a section: [{name}]"))),
        }
    }

    pub(super) fn deserialize<T: DeserializeOwned>(
        &self,
        value: Spanned<DeValue<'t>>,
    ) -> Result<T, SettingsError> {
        let span = value.span();
        T::deserialize(ValueDeserializer::from(value)).map_err(|error| match error.span() {
            Some(_) => self.invalid(&error),
            None => self.error_at(
                &span,
                readable(error.message(), self.key_of(&span).as_deref()),
            ),
        })
    }

    /// Returns the path of a file that the document names: relative ones begin at the document.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        match self.path.parent() {
            Some(folder) => folder.join(path),
            None => path.to_owned(),
        }
    }

    /// Reads a file that a part of the document names.
    pub(super) fn read(
        &self,
        inputs: &mut Inputs,
        path: &Path,
        span: &Range<usize>,
    ) -> Result<Vec<u8>, SettingsError> {
        let read = inputs.read(path, MAX_FILE_BYTES);
        read.map_err(|why| self.error_at(span, why))
    }

    /// Returns the number of the line, from 1, in which a span begins.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    pub(super) fn error_at(&self, span: &Range<usize>, why: impl fmt::Display) -> SettingsError {
        let (path, line) = (self.path.display(), self.line(span));
        SettingsError(format!("{path}:{line}: {why}"))
    }

    /// Returns an error that belongs to no line.
    pub(super) fn error(&self, why: impl fmt::Display) -> SettingsError {
        SettingsError(format!("{}: {why}", self.path.display()))
    }

    /// Without the line's text, which may have a secret.
    fn invalid(&self, error: &Error) -> SettingsError {
        let span = error.span().unwrap_or_default();
        let key = self.key_of(&span);
        self.error_at(&span, readable(error.message(), key.as_deref()))
    }

    /// Returns the key whose value, or a part of it, has this span.
    fn key_of(&self, span: &Range<usize>) -> Option<String> {
        let table = DeTable::parse(self.text).ok()?;
        key_in(table.get_ref(), span).map(str::to_owned)
    }
}

fn key_in<'k>(table: &'k DeTable<'_>, span: &Range<usize>) -> Option<&'k str> {
    table
        .iter()
        .find_map(|(key, value)| key_of_value(key.get_ref(), value, span))
}

fn key_of_value<'k>(
    key: &'k str,
    value: &'k Spanned<DeValue<'_>>,
    span: &Range<usize>,
) -> Option<&'k str> {
    let inside = match value.get_ref() {
        DeValue::Table(table) => key_in(table, span),
        DeValue::Array(array) => array.iter().find_map(|part| key_of_value(key, part, span)),
        _ => None,
    };
    inside.or_else(|| (value.span() == *span).then_some(key))
}

/// Returns serde's message with a suggestion for an unknown name, and without values.
fn readable(message: &str, key: Option<&str>) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = |what: &str, name: &str, known: Vec<&str>| {
        format!("unknown {what} '{name}'; {}", did_you_mean(name, known))
    };
    if message.starts_with("unknown field")
        && let Some(name) = names.next()
    {
        return unknown("key", name, names.collect());
    }
    if message.starts_with("unknown variant")
        && let Some(name) = names.next()
    {
        return unknown("value", name, names.collect());
    }
    let is_wrong = message.starts_with("invalid type") || message.starts_with("invalid value");
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if is_wrong => {
            let key = key
                .map(|key| format!("invalid {key}: "))
                .unwrap_or_default();
            format!("{key}it must be {}", in_words(expected))
        }
        _ => message.to_owned(),
    }
}

/// Returns what serde expects in the words of TOML.
fn in_words(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list",
        "a map" => "a section",
        "a boolean" => "true or false",
        "a string" => "a text in quotes",
        "path string" => "a path in quotes",
        "u64" | "usize" | "u32" => "a whole number that is not negative",
        _ if expected.starts_with("struct ") => "a section",
        _ => expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_value_is_found() {
        let text = "a = 1\n[b.c]\nd = [{ e = 'x=y', f = 2 }]\n[[g]]\nh = 3";
        let document = Document::new(Path::new("f"), text);
        for (value, key) in [("1", "a"), ("2", "f"), ("'x=y'", "e"), ("3", "h")] {
            let start = text.find(value).unwrap();
            let span = start..start + value.len();
            assert_eq!(document.key_of(&span).as_deref(), Some(key));
        }
        assert_eq!(document.key_of(&(0..1)), None);
    }

    #[test]
    fn messages_quote_no_value_and_suggest_a_name() {
        for (message, expected) in [
            (
                "invalid type: string \"hunter2\", expected u64",
                "invalid k: it must be a whole number that is not negative",
            ),
            (
                "invalid type: string \"a\", expected b\", expected struct KeySection",
                "invalid k: it must be a section",
            ),
            (
                "invalid type: map, expected a sequence",
                "invalid k: it must be a list",
            ),
            (
                "unknown field `isuer`, expected one of `issuer`, `secret`, `keys`",
                "unknown key 'isuer'; did you mean 'issuer'?",
            ),
            (
                "unknown variant `raed`, expected `read` or `add`",
                "unknown value 'raed'; did you mean 'read'?",
            ),
            ("missing field `streams`", "missing field `streams`"),
        ] {
            assert_eq!(readable(message, Some("k")), expected);
        }
    }
}
