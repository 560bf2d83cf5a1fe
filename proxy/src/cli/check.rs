//! `streamgate check`: whether a settings file is valid, and who may do what by it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use streamgate::{Limits, Permission, RightRule};

use super::command_line::resolve;
use super::connect::redis;
use super::serve::{check_folder, without_redis};
use super::settings::Access;
use super::tls_files::TlsFiles;
use super::{CommandError, connect, listening, logging};

/// What a cell shows if there is nothing to say.
const NOTHING: &str = "-";

/// Columns of the table of rights.
const COLUMNS: [&str; 8] = [
    "role",
    "permissions",
    "streams",
    "groups",
    "consumers",
    "prefix",
    "maxlen",
    "max_count",
];

pub(super) fn run(path: &Path) -> Result<(), CommandError> {
    let settings = resolve(path)?;
    let args = &settings.args;
    let mut config = args.config();
    let limits = settings.file.as_ref().and_then(|(file, _)| file.limits);
    config.limits = limits;
    config
        .validate()
        .map_err(|error| CommandError::usage(error.message()))?;
    let access = settings
        .file
        .as_ref()
        .and_then(|(file, _)| file.access.as_ref());
    check_folder(args)?;
    if access.is_some_and(|access| access.revoked_key.is_some()) && redis(args)?.is_none() {
        return Err(without_redis());
    }
    let addresses = listening::resolve_now("--listen", &args.listen)?;
    listening::check(&addresses, args, access.is_some())?;
    args.origins()?;
    logging::parse_filter(&args.log)?;
    connect::check_redis(args)?;
    let tls = TlsFiles::of(args)?.map(TlsFiles::load).transpose()?;
    let mut text = format!("{} is valid\n\n", path.display());
    // Writing to a string does not fail.
    let _ = match access {
        Some(access) => describe(&mut text, access),
        None => writeln!(text, "There is no [auth]: every client may do everything."),
    };
    if let Some(limits) = limits.or(access.map(|_| Limits::default())) {
        // Writing to a string does not fail.
        let _ = write!(text, "\n{limits}");
    }
    if let Some(tls) = tls {
        // Writing to a string does not fail.
        let _ = write!(text, "\n{}", tls.description());
    }
    if args.insecure {
        text.push_str(
            "\nWARNING: insecure: this server may listen without authentication or TLS.\n",
        );
    }
    // If stdout is closed, the exit code says it all the same.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(())
}

fn describe(text: &mut String, access: &Access) -> std::fmt::Result {
    let mut rows = vec![COLUMNS.map(str::to_owned).to_vec()];
    for (name, role) in &access.roles {
        rows.extend(role.rules().map(|rule| cells(name, rule)));
    }
    table(text, &rows)?;
    text.push('\n');
    if !access.keys.is_empty() || access.jwks_url.is_some() {
        let audience = access.audience.as_deref().unwrap_or_default();
        let issuer = access.issuer.as_deref().unwrap_or("any issuer");
        writeln!(
            text,
            "tokens: for '{audience}' from {issuer}, valid for {} s at most; roles in `{}`",
            access.max_life.as_secs(),
            access.roles_claim
        )?;
    }
    for (id, algorithm) in &access.keys {
        let id = id.as_deref().unwrap_or("without id");
        writeln!(text, "key: {id} ({algorithm})")?;
    }
    if let Some(url) = &access.jwks_url {
        writeln!(text, "keys: fetched from {url}")?;
    }
    for (subject, roles) in &access.machines {
        writeln!(text, "static token: {subject} has {}", list(roles))?;
    }
    match &access.anonymous {
        Some(role) => writeln!(text, "without a token: {role}")?,
        None => writeln!(text, "without a token: refused")?,
    }
    if let Some(file) = &access.revoked {
        writeln!(
            text,
            "revocations: {} in {}",
            file.count,
            file.path.display()
        )?;
        // An issuer that is written in another way than in tokens would revoke nothing.
        let mut issuers: Vec<_> = file.tokens.issuers().collect();
        issuers.sort_unstable();
        for issuer in issuers {
            writeln!(text, "revocations of subjects of the issuer: {issuer}")?;
        }
    }
    if let Some(key) = &access.revoked_key {
        writeln!(text, "revocations: those of the Redis hash '{key}'")?;
    }
    Ok(())
}

fn cells(role: &str, rule: &RightRule) -> Vec<String> {
    let permissions: Vec<_> = rule.allow.iter().map(ToString::to_string).collect();
    let concerns_groups = rule
        .allow
        .iter()
        .any(|allow| !matches!(allow, Permission::Read | Permission::Add | Permission::Trim));
    let of_groups = |names: &[String]| match concerns_groups {
        true => list(names),
        false => NOTHING.to_owned(),
    };
    let number = |number: Option<u64>| number.map_or(NOTHING.to_owned(), |n| n.to_string());
    vec![
        role.to_owned(),
        list(&permissions),
        list(&rule.streams),
        of_groups(&rule.groups),
        of_groups(&rule.consumers),
        rule.prefix.clone().unwrap_or(NOTHING.to_owned()),
        number(rule.maxlen),
        number(rule.max_count),
    ]
}

fn list(names: &[String]) -> String {
    match names.is_empty() {
        true => NOTHING.to_owned(),
        false => names.join(","),
    }
}

/// Writes rows in columns as wide as their longest cell.
fn table(text: &mut String, rows: &[Vec<String>]) -> std::fmt::Result {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..COLUMNS.len()).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            write!(line, "{cell:width$}  ")?;
        }
        writeln!(text, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let mut text = String::new();
        table(&mut text, &[row(["a", "b"]), row(["long", "c"])]).unwrap();
        assert_eq!(text, "a     b\nlong  c\n");
    }

    #[test]
    fn groups_are_shown_for_rights_that_concern_them() {
        let read = cells("r", &RightRule::new([Permission::Read], ["s"]));
        assert_eq!(read, ["r", "read", "s", "-", "-", "-", "-", "-"]);
        let allow = [Permission::Read, Permission::Consume];
        let consume = cells("r", &RightRule::new(allow, ["s", "t*"]));
        assert_eq!(
            consume,
            ["r", "read,consume", "s,t*", "*", "*", "-", "-", "-"]
        );
    }
}
