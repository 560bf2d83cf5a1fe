//! The values of flags in the file: each becomes the default of its flag.

use std::fmt;
use std::iter::once;

use clap::builder::Resettable;
use clap::{Arg, ArgAction, Command, ValueHint};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Document;
use super::suggestion::did_you_mean;
use super::{FLAG_SECTIONS, SECTIONS, SettingsError};
use crate::cli::args::{EXCLUSIVE, serve_command};

/// The value of one flag.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::cli) struct FlagSetting {
    /// The name of the flag, with underscores.
    pub(in crate::cli) name: String,
    /// More than one only if the flag may be repeated.
    values: Vec<String>,
}

/// Without the values: the URL of Redis may have a password.
impl fmt::Debug for FlagSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FlagSetting").field(&self.name).finish()
    }
}

/// Reads the values of flags, and checks them as their flags do.
///
/// In a section, the names of flags lack what they begin with: `key` in `[tls]` is `tls_key`.
pub(super) fn read(
    document: &Document<'_>,
    table: DeTable<'_>,
    section: Option<&str>,
) -> Result<Vec<FlagSetting>, SettingsError> {
    // An environment variable must not change what is wrong with a file.
    let command = serve_command().mut_args(|arg| arg.env(Resettable::Reset));
    let known = |name: &str| {
        let mut args = command.get_arguments();
        args.find(|arg| name_in(arg, section) == Some(name))
    };
    let mut settings: Vec<FlagSetting> = Vec::new();
    let mut entries: Vec<_> = table.into_iter().collect();
    // In the order of the file, so that the first error is the first in it.
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let name = key.get_ref().as_ref();
        let Some(arg) = known(name) else {
            let args = command.get_arguments();
            let names = args.filter_map(|arg| name_in(arg, section));
            let sections = SECTIONS.into_iter().filter(|_| section.is_none());
            let names = names.chain(sections);
            let why = format!("unknown key '{name}'; {}", did_you_mean(name, names));
            return Err(document.error_at(&key.span(), why));
        };
        let other = settings
            .iter()
            .find(|setting| are_exclusive(name, &setting.name));
        if let Some(other) = other {
            let why = format!(
                "'{name}' and '{}' exclude each other; remove one",
                other.name
            );
            return Err(document.error_at(&key.span(), why));
        }
        let setting = FlagSetting {
            name: arg.get_id().to_string(),
            values: values(document, arg, name, &value)?,
        };
        let arguments = once("serve".to_owned()).chain(setting.arguments(arg));
        if let Err(error) = command.clone().try_get_matches_from(arguments) {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            let flag = arg.get_long().unwrap_or_default();
            let why = why.unwrap_or_else(|| format!("see --{flag}"));
            // The parser of numbers does not say of what it speaks.
            let why = match why.contains("digit found in string") {
                true => "it must be a whole number".to_owned(),
                false => why,
            };
            let why = format!("invalid {name}: {why}");
            return Err(document.error_at(&value.span(), why));
        }
        settings.push(setting);
    }
    Ok(settings)
}

/// Returns the command with these values as defaults. `is_given` says whether a flag was given on
/// the command line or in the environment.
pub(in crate::cli) fn with_defaults(
    command: Command,
    settings: &[FlagSetting],
    is_given: &dyn Fn(&str) -> bool,
) -> Command {
    let is_overridden = |name: &str| {
        let mut others = EXCLUSIVE.iter().filter(|other| are_exclusive(name, other));
        others.any(|other| is_given(other))
    };
    settings
        .iter()
        .filter(|setting| !is_overridden(&setting.name))
        .fold(command, |command, setting| {
            let values = setting.values.clone();
            command.mut_arg(&setting.name, |arg| arg.default_values(values))
        })
}

/// Returns the name that a flag has in a section, or outside of any; `None` if it has none there.
fn name_in<'a>(arg: &'a Arg, section: Option<&str>) -> Option<&'a str> {
    let id = arg.get_id().as_str();
    if matches!(id, "config" | "help") {
        return None;
    }
    let in_section = |section: &str| id.strip_prefix(section)?.strip_prefix('_');
    match section {
        Some(section) => in_section(section),
        None if FLAG_SECTIONS.into_iter().any(|s| in_section(s).is_some()) => None,
        None => Some(id),
    }
}

/// Returns whether two flags say the same in two ways.
fn are_exclusive(one: &str, other: &str) -> bool {
    one != other && EXCLUSIVE.contains(&one) && EXCLUSIVE.contains(&other)
}

fn values(
    document: &Document<'_>,
    arg: &Arg,
    name: &str,
    value: &Spanned<DeValue<'_>>,
) -> Result<Vec<String>, SettingsError> {
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let is_list = matches!(arg.get_action(), ArgAction::Append);
    let text = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::Boolean(value) if is_switch => Some(value.to_string()),
        DeValue::String(path) if arg.get_value_hint() == ValueHint::AnyPath => {
            let path = document.resolve(path.as_ref().as_ref());
            Some(path.to_string_lossy().into_owned())
        }
        DeValue::String(text) if !is_switch => Some(text.to_string()),
        DeValue::Integer(number) if !is_switch => {
            let number = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
            Some(number.to_string())
        }
        _ => None,
    };
    let invalid = |value: &Spanned<DeValue<'_>>, must_be: &str| {
        document.error_at(
            &value.span(),
            format!("invalid {name}: it must be {must_be}"),
        )
    };
    match value.get_ref() {
        DeValue::Array(array) if is_list => {
            let of_list = |value| text(value).ok_or_else(|| invalid(value, "a list of texts"));
            array.iter().map(of_list).collect()
        }
        _ => {
            let must_be = if is_switch {
                "true or false"
            } else if is_list {
                "a list of texts"
            } else {
                "a text or a number"
            };
            Ok(vec![text(value).ok_or_else(|| invalid(value, must_be))?])
        }
    }
}

impl FlagSetting {
    /// Returns the arguments that say the same.
    fn arguments(&self, arg: &Arg) -> Vec<String> {
        let flag = format!("--{}", arg.get_long().unwrap_or_default());
        match arg.get_action() {
            ArgAction::SetTrue if self.values == ["true"] => vec![flag],
            ArgAction::SetTrue => Vec::new(),
            _ => self
                .values
                .iter()
                .map(|value| format!("{flag}={value}"))
                .collect(),
        }
    }
}
