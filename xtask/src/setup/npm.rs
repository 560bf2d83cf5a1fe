//! The npm packages the JavaScript tests use, kept out of the source tree.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::command::{announce, command, run};
use crate::{files, workspace};

/// Written last, so that an install cut short is done again.
const MARKER: &str = ".installed";

/// Installs the packages that tests/runtimes names, unless that has been done.
pub(crate) fn install() -> anyhow::Result<()> {
    let folder = workspace::runtimes();
    let source = workspace::root().join("tests/runtimes");
    let wanted = wanted(&source)?;
    if fs::read_to_string(folder.join(MARKER)).is_ok_and(|installed| installed == wanted) {
        return link(&source);
    }
    announce("npm install (tests/runtimes)");
    fs::create_dir_all(&folder)?;
    let subcommand = if source.join("package-lock.json").exists() {
        "ci"
    } else {
        "install"
    };
    for file in ["package.json", "package-lock.json"] {
        if source.join(file).exists() {
            fs::copy(source.join(file), folder.join(file))?;
        }
    }
    let mut npm = command("npm");
    npm.arg(subcommand)
        .args(["--no-audit", "--no-fund", "--no-progress", "--prefix"])
        .arg(&folder);
    run(&mut npm, "check that the npm registry is reachable")?;
    fs::write(folder.join(MARKER), wanted)?;
    link(&source)
}

/// A program of one of the packages.
pub(crate) fn program(name: &str) -> PathBuf {
    workspace::runtimes().join("node_modules/.bin").join(name)
}

/// What decides whether an install is up to date.
fn wanted(source: &Path) -> anyhow::Result<String> {
    let manifest = fs::read_to_string(source.join("package.json"))
        .with_context(|| format!("reading {}", source.join("package.json").display()))?;
    let lock = fs::read_to_string(source.join("package-lock.json")).unwrap_or_default();
    Ok(manifest + &lock)
}

/// Node.js looks for packages beside and above a script, and nowhere else.
fn link(source: &Path) -> anyhow::Result<()> {
    files::link(
        &workspace::runtimes().join("node_modules"),
        &source.join("node_modules"),
    )
}
