//! `[roles.NAME]`: rights that belong together.

use std::collections::BTreeMap;

use serde::Deserialize;
use streamgate::{RightRule, Role};
use toml::Spanned;
use toml::de::DeValue;

use super::SettingsError;
use super::document::Document;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleSection {
    /// The prefix of the rights that have none of their own.
    prefix: Option<String>,
    rights: Vec<Spanned<RightRule>>,
}

/// Reads all roles.
pub(super) fn roles<'t>(
    document: &Document<'t>,
    section: Option<Spanned<DeValue<'t>>>,
) -> Result<BTreeMap<String, Role>, SettingsError> {
    let Some(section) = section else {
        return Ok(BTreeMap::new());
    };
    let span = section.span();
    let DeValue::Table(tables) = section.into_inner() else {
        return Err(document.error_at(&span, "`roles` must be sections such as [roles.reader]"));
    };
    let mut roles = BTreeMap::new();
    for (name, table) in tables {
        if name.get_ref().is_empty() || name.get_ref().contains(char::is_whitespace) {
            let why = "the name of a role must have a character, and no space";
            return Err(document.error_at(&name.span(), why));
        }
        let role = role(document, table)?;
        roles.insert(name.into_inner().into_owned(), role);
    }
    Ok(roles)
}

fn role<'t>(document: &Document<'t>, table: Spanned<DeValue<'t>>) -> Result<Role, SettingsError> {
    let section: RoleSection = document.deserialize(table)?;
    let spans: Vec<_> = section.rights.iter().map(Spanned::span).collect();
    let rules = section.rights.into_iter().map(|rule| {
        let mut rule = rule.into_inner();
        rule.prefix = rule.prefix.or_else(|| section.prefix.clone());
        rule
    });
    Role::new(rules).map_err(|error| {
        let span = spans.get(error.right - 1).cloned().unwrap_or_default();
        document.error_at(&span, error.why)
    })
}
