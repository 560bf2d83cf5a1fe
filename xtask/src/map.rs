//! The list of files in ARCHITECTURE.md, taken from the first line of each file.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::command::{announce, command, output};
use crate::workspace;

/// The document that holds the list.
const DOCUMENT: &str = "ARCHITECTURE.md";

const BEGIN: &str = "<!-- files: written by `cargo xtask map` -->\n";
const END: &str = "<!-- end of files -->\n";

/// Folders whose files are listed one by one. Of other test folders, only the suites are.
const LISTED: [&str; 16] = [
    "protocol/src",
    "client/src",
    "client-wasm/src",
    "client-wasm/npm/src",
    "backend/src",
    "backend-memory/src",
    "backend-redis/src",
    "proxy/src",
    "www",
    "xtask/src",
    "tests/conformance/src",
    "tests/support/src",
    "tests/bench/src",
    "tests/chaos/src",
    "tests/python/checks",
    "tests/python/streamgate",
];

/// Rewrites the list.
///
/// # Errors
///
/// A file says nothing of itself, or the document has no place for the list.
pub(crate) fn run() -> anyhow::Result<()> {
    let path = workspace::root().join(DOCUMENT);
    let document = fs::read_to_string(&path)?;
    let updated = replace(&document, &list()?)?;
    announce(&format!("writing {DOCUMENT}"));
    fs::write(path, updated)?;
    Ok(())
}

/// Returns the document with `list` between the two marks.
fn replace(document: &str, list: &str) -> anyhow::Result<String> {
    let (before, rest) = document
        .split_once(BEGIN)
        .with_context(|| format!("{DOCUMENT} lacks the line {BEGIN}"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("{DOCUMENT} lacks the line {END}"))?;
    Ok(format!("{before}{BEGIN}{list}{END}{after}"))
}

/// Lists every file of those folders below its folder, each with the first line it says of itself.
fn list() -> anyhow::Result<String> {
    let files = tracked()?;
    let mut list = String::new();
    for folder in LISTED {
        let inside = format!("{folder}/");
        let names = files.iter().filter(|name| name.starts_with(&inside));
        write!(list, "\n**{folder}/**\n\n")?;
        let before = list.len();
        for name in names {
            if let Some(summary) = summary(name)? {
                writeln!(list, "- `{}`: {summary}", &name[inside.len()..])?;
            }
        }
        ensure!(list.len() > before, "{folder} has no files");
    }
    write!(list, "\n**tests/** and the crates' own test suites\n\n")?;
    for name in files.iter().filter(|name| is_suite(name)) {
        if let Some(summary) = summary(name)? {
            let folder = name.strip_suffix("/main.rs").unwrap_or(name);
            let folder = folder.strip_suffix("/src/lib.rs").unwrap_or(folder);
            writeln!(list, "- `{folder}`: {summary}")?;
        }
    }
    list.push('\n');
    Ok(list)
}

/// Returns the files that git knows, sorted: a file is in the map once it is added.
fn tracked() -> anyhow::Result<Vec<String>> {
    let mut git = command("git");
    git.args(["ls-files"]).current_dir(workspace::root());
    let names = output(&mut git).context("git ls-files failed: this is no clone")?;
    let mut names: Vec<_> = names.lines().map(str::to_owned).collect();
    names.retain(|name| workspace::root().join(name).exists());
    names.sort();
    Ok(names)
}

/// Whether a file is the root of a test crate or of a suite.
fn is_suite(name: &str) -> bool {
    let mut parts = name.split('/').rev();
    let (file, folder) = (parts.next(), parts.next());
    let in_tests = name.split('/').any(|part| part == "tests");
    let root = file == Some("main.rs") || (file == Some("lib.rs") && folder == Some("src"));
    let alone = folder == Some("tests") && name.ends_with(".rs");
    in_tests && (root || alone || name.ends_with(".test.mjs"))
}

/// Returns the first sentence that a file says of itself. Tests inside product folders and files of
/// other kinds have none.
fn summary(name: &str) -> anyhow::Result<Option<String>> {
    let is_code = |kind: &&str| Path::new(name).extension().is_some_and(|e| e == *kind);
    let is_test = name.ends_with("/tests.rs") || name.contains("src/") && name.contains("/tests/");
    if is_test || !["rs", "js", "mjs", "lua", "py"].iter().any(is_code) {
        return Ok(None);
    }
    let text = fs::read_to_string(workspace::root().join(name))?;
    match first_sentence(&text) {
        Some(sentence) => Ok(Some(sentence)),
        None => bail!("{name} does not begin with a sentence about itself"),
    }
}

/// Returns the first sentence of the comment that a file begins with.
fn first_sentence(text: &str) -> Option<String> {
    let strip = |line: &str| {
        let marks = ["//!", "//", "--"];
        let rest = marks.iter().find_map(|mark| line.strip_prefix(mark))?;
        Some(rest.trim().to_owned())
    };
    let comment: Vec<_> = match text.strip_prefix("\"\"\"") {
        Some(docstring) => {
            let end = docstring.find("\"\"\"")?;
            docstring[..end].lines().map(str::to_owned).collect()
        }
        None => text.lines().map_while(strip).collect(),
    };
    let paragraph: Vec<_> = comment
        .into_iter()
        .take_while(|line| !line.is_empty())
        .collect();
    let paragraph = paragraph.join(" ");
    let end = paragraph.find(". ").unwrap_or(paragraph.len());
    let sentence = without_link_targets(paragraph[..end].trim_end_matches(['.', ':']));
    (!sentence.is_empty()).then_some(sentence)
}

/// Returns the text of rustdoc's links, whose targets mean nothing outside the file.
fn without_link_targets(sentence: &str) -> String {
    let mut text = String::new();
    let mut rest = sentence;
    while let Some((before, link)) = rest.split_once("[`") {
        text.push_str(before);
        text.push('`');
        let (name, after) = link.split_once("`]").unwrap_or((link, ""));
        text.push_str(name);
        text.push('`');
        rest = match after
            .strip_prefix('(')
            .and_then(|target| target.split_once(')'))
        {
            Some((_, after)) => after,
            None => after,
        };
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_in_the_document_is_up_to_date() {
        let document = fs::read_to_string(workspace::root().join(DOCUMENT)).unwrap();
        let updated = replace(&document, &list().unwrap()).unwrap();
        assert!(document == updated, "run `cargo xtask map`");
    }

    /// Returns the paths that a document names in code spans, each with the item it names there.
    fn stations(document: &str) -> Vec<(&str, Option<&str>)> {
        let spans = document.split('`').skip(1).step_by(2);
        let paths = spans.filter(|span| span.contains('/') && !span.contains([' ', '*', '(', '<']));
        paths
            .map(|span| match span.split_once("::") {
                Some((path, item)) => (path, Some(item)),
                None => (span, None),
            })
            .collect()
    }

    #[test]
    fn every_station_in_the_document_exists() {
        let document = fs::read_to_string(workspace::root().join(DOCUMENT)).unwrap();
        let (written, _) = document.split_once(BEGIN).unwrap();
        let stations = stations(written);
        assert!(stations.len() > 50, "only {} were found", stations.len());
        for (path, item) in stations {
            let place = workspace::root().join(path);
            assert!(place.exists(), "{path} does not exist");
            let Some(item) = item else { continue };
            let text = fs::read_to_string(&place).unwrap();
            let kinds = ["fn", "struct", "enum", "trait", "const"];
            let defines = |kind: &&str| {
                let definition = format!("{kind} {item}");
                let mut rest = text.split(&definition).skip(1);
                rest.any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
            };
            assert!(kinds.iter().any(defines), "{path} has no {item}");
        }
    }

    #[test]
    fn stations_are_paths_with_or_without_an_item() {
        let document = "see `a/b.rs::item`, `c/`, `plain` and `cargo run -p a/b`";
        assert_eq!(stations(document), [("a/b.rs", Some("item")), ("c/", None)]);
    }

    #[test]
    fn a_summary_is_the_first_sentence_without_its_full_stop() {
        for (text, summary) in [
            ("//! One. Two.\nuse x;\n", Some("One")),
            (
                "//! Over\n//! two lines.\n//!\n//! More.\n",
                Some("Over two lines"),
            ),
            ("//! Of [`A`](b::A), and [`B`].\n", Some("Of `A`, and `B`")),
            ("// JavaScript.\n", Some("JavaScript")),
            ("-- Lua.\n", Some("Lua")),
            ("\"\"\"Python. More.\n\"\"\"\nx = 1\n", Some("Python")),
            (
                "\"\"\"Over\ntwo lines.\n\nMore.\n\"\"\"\n",
                Some("Over two lines"),
            ),
            ("use x;\n", None),
            ("", None),
        ] {
            assert_eq!(first_sentence(text).as_deref(), summary, "{text:?}");
        }
    }

    #[test]
    fn suites_are_the_roots_of_test_crates_and_single_files() {
        for (name, expected) in [
            ("tests/bench/src/main.rs", true),
            ("tests/support/src/lib.rs", true),
            ("proxy/tests/server_cli.rs", true),
            ("backend-redis/tests/redis/main.rs", true),
            ("backend-redis/tests/redis/waits.rs", false),
            ("tests/runtimes/demo.test.mjs", true),
            ("proxy/src/main.rs", false),
        ] {
            assert_eq!(is_suite(name), expected, "{name}");
        }
    }
}
