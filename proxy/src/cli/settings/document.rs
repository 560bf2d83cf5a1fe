//! A TOML document, and errors that name its lines.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error, ValueDeserializer};

use super::SettingsError;
use super::suggestion::did_you_mean;

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
            None => self.error_at(&span, readable(error.message())),
        })
    }

    /// Returns the path of a file that the document names: relative ones begin at the document.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        match self.path.parent() {
            Some(folder) => folder.join(path),
            None => path.to_owned(),
        }
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
        self.error_at(&span, readable(error.message()))
    }
}

/// Returns serde's message with a suggestion for an unknown name, and without values.
fn readable(message: &str) -> String {
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
    match message.split_once(" string \"") {
        Some((head, rest)) => match rest.rsplit_once("\", expected ") {
            Some((_, expected)) => format!("{head} string, expected {expected}"),
            None => head.to_owned(),
        },
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_quote_no_value_and_suggest_a_name() {
        for (message, expected) in [
            (
                "invalid type: string \"hunter2\", expected u64",
                "invalid type: string, expected u64",
            ),
            (
                "invalid type: string \"a\", expected b\", expected u64",
                "invalid type: string, expected u64",
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
            assert_eq!(readable(message), expected);
        }
    }
}
