//! The settings file: it means the same however it is written, and errors say where, and no secrets.
//!
//! The files that it may name are in `tests/fuzz/files`.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use streamgate::fuzzing::describe_settings;
use toml::{Table, Value};

/// The file would be here.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/files/streamgate.toml");

/// What the seeds have as passwords.
const PASSWORD: &str = "hunter2";

/// What the files have as a secret.
const SECRET: &str = "thirty-two bytes";

/// Most characters of an error, however long a name is that it quotes.
const MAX_ERROR_CHARS: usize = 1_000;

fuzz_target!(|text: &str| {
    let table = text.parse::<Table>().ok();
    // Nothing outside of the folder is opened.
    let mut names_other_files = false;
    for (_, value) in table.iter().flatten() {
        strings(value, &mut |text| {
            names_other_files |= text.starts_with('/') || text.contains("..");
        });
    }
    if names_other_files {
        return;
    }
    let described = describe_settings(Path::new(FILE), text);
    let (Ok(shown) | Err(shown)) = &described;
    assert!(!shown.contains(SECRET), "{shown}");
    let in_secrets = table.as_ref().map_or(0, passwords);
    if in_secrets == text.matches(PASSWORD).count() || table.is_none() {
        assert!(!shown.contains(PASSWORD), "{shown}");
    }
    if let Err(error) = &described {
        assert!(error.chars().count() <= MAX_ERROR_CHARS, "{error}");
        assert!(!error.contains(char::is_control), "{error:?}");
        // A line, or the words of a flag or a key.
        assert!(error.contains([':', '\'', '`', '-', '=']), "{error}");
    }
    let Some(table) = table else {
        assert!(described.is_err(), "{text}");
        return;
    };
    let Ok(shown) = &described else {
        return;
    };
    assert_limits(&table, shown);
    let printed = toml::to_string(&table).expect("what was parsed can be printed");
    let again = describe_settings(Path::new(FILE), &printed);
    assert_eq!(described, again, "{printed}");
});

/// Compares the limits that a file names with those that are described.
fn assert_limits(table: &Table, shown: &str) {
    // Last, and no text that a file chooses has a line break.
    let (_, limits) = shown
        .rsplit_once("\nlimits: ")
        .expect("limits are described");
    let Some(sections) = table.get("limits").and_then(Value::as_table) else {
        assert_eq!(limits, "None");
        return;
    };
    for (section, names) in sections {
        for (name, value) in names.as_table().into_iter().flatten() {
            let shown = limits
                .split_once(&format!("{section}: "))
                .and_then(|(_, section)| section.split_once(&format!(" {name}: ")))
                .and_then(|(_, value)| value.split_once(','));
            let (shown, _) = shown.expect("each limit is described");
            assert_eq!(shown, value.to_string(), "{section}.{name}");
        }
    }
}

/// Counts how often a password stands where secrets may.
fn passwords(table: &Table) -> usize {
    let mut count = 0;
    let mut of = |value: Option<&Value>| {
        let found = value.and_then(Value::as_str).unwrap_or_default();
        count += found.matches(PASSWORD).count();
    };
    if let Some(url) = table.get("redis")
        && url
            .as_str()
            .is_some_and(|url| url.contains(concat!(":", "hunter2", "@")))
    {
        of(Some(url));
    }
    let auth = table.get("auth");
    for (list, names) in [
        ("keys", &["secret"][..]),
        ("static_tokens", &["token", "sha256"]),
    ] {
        let sections = auth
            .and_then(|auth| auth.get(list))
            .and_then(Value::as_array);
        for section in sections.into_iter().flatten() {
            names.iter().for_each(|name| of(section.get(*name)));
        }
    }
    count
}

fn strings(value: &Value, with: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => with(text),
        Value::Array(values) => values.iter().for_each(|value| strings(value, with)),
        Value::Table(table) => table.iter().for_each(|(_, value)| strings(value, with)),
        _ => {}
    }
}
