//! The settings file of `--config`: TOML, with the flags' values, `[tls]`, `[auth]`, `[roles]` and
//! `[limits]`.
//!
//! A value in the file replaces the default of its flag, so flags and the environment override the
//! file, and the flag's own parser checks its bounds. Errors name the file and the line. They never
//! quote a value that may be a secret.

mod access;
mod auth_section;
mod document;
mod flags;
mod inputs;
mod revoked_file;
mod role_section;
mod secret;
mod static_token;
mod suggestion;

use std::fmt;
use std::path::{Path, PathBuf};

use streamgate::Limits;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(super) use self::access::Access;
use self::auth_section::AuthSection;
use self::document::Document;
pub(super) use self::flags::{FlagSetting, with_defaults};
pub(super) use self::inputs::{FileStamp, Inputs};
pub(super) use self::revoked_file::{RevokedFile, time_of_seconds, time_of_text};
use self::role_section::roles;
pub(super) use self::secret::Secret;
use super::CommandError;
use super::error::one_line;

/// Most bytes of the file, and of a file that it names.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Sections beside the flags' values.
const SECTIONS: [&str; 4] = ["auth", "limits", "roles", "tls"];

/// Those among them whose keys are flags too: `key` in `[tls]` is `--tls-key`.
const FLAG_SECTIONS: [&str; 1] = ["tls"];

/// What a settings file says.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) path: PathBuf,
    pub(super) flags: Vec<FlagSetting>,
    /// `[auth]` and `[roles]`; `None` without `[auth]`.
    pub(super) access: Option<Access>,
    /// `[limits]`
    pub(super) limits: Option<Limits>,
}

/// Why a settings file is invalid, with the file and the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SettingsError(String);

impl SettingsError {
    /// Returns an error about a file that the settings name.
    pub(super) fn new(why: String) -> Self {
        Self(why)
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.0))
    }
}

impl Settings {
    /// Reads a file and the files that it names, and records them as inputs.
    ///
    /// # Errors
    ///
    /// The first part that is invalid.
    pub(super) fn load(path: &Path, inputs: &mut Inputs) -> Result<Self, SettingsError> {
        let text = inputs.read_text(path, MAX_FILE_BYTES)?;
        Self::parse(path, &text, inputs)
    }

    /// Parses the text of a file, and reads the files that it names.
    pub(super) fn parse(
        path: &Path,
        text: &str,
        inputs: &mut Inputs,
    ) -> Result<Self, SettingsError> {
        let document = Document::new(path, text);
        let mut table = document.parse()?;
        let auth = take(&mut table, "auth");
        let role_tables = take(&mut table, "roles");
        let limits = take(&mut table, "limits");
        let mut sections = Vec::new();
        for name in FLAG_SECTIONS {
            if let Some(section) = take(&mut table, name) {
                sections.push((name, document.table(name, section)?));
            }
        }
        let mut flags = flags::read(&document, table, None)?;
        for (name, section) in sections {
            flags.extend(flags::read(&document, section, Some(name))?);
        }
        let access = match auth {
            Some(auth) => {
                let roles = roles(&document, role_tables)?;
                let section: AuthSection = document.deserialize(auth)?;
                Some(Access::new(section, roles, &document, inputs)?)
            }
            None => {
                if let Some(roles) = role_tables {
                    let why = "[roles] without [auth]: nobody could have a role; add [auth]";
                    return Err(document.error_at(&roles.span(), why));
                }
                None
            }
        };
        let limits = limits.map(|limits| document.deserialize(limits));
        let path = path.to_owned();
        Ok(Self {
            path,
            flags,
            access,
            limits: limits.transpose()?,
        })
    }
}

/// Removes a section.
fn take<'t>(table: &mut DeTable<'t>, name: &str) -> Option<Spanned<DeValue<'t>>> {
    table.remove(name)
}

/// Reads who may use the server, for a command that needs it.
pub(super) fn load_access(path: &Path) -> Result<Access, CommandError> {
    let settings = Settings::load(path, &mut Inputs::default()).map_err(CommandError::usage)?;
    let why = "there is no [auth]: every client may do everything, and no token is needed";
    let missing = || CommandError::usage(format_args!("{}: {why}", path.display()));
    settings.access.ok_or_else(missing)
}

#[cfg(test)]
mod tests;
