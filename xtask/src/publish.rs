//! Whether every crate could be published as it is.

mod packages;

use anyhow::Context;

use crate::command::{self, announce, command, output};

/// The crates that are published, each after those that it depends on.
const CRATES: [&str; 7] = [
    "streamgate-protocol",
    "streamgate-client",
    "streamgate-wasm",
    "streamgate-backend",
    "streamgate-memory",
    "streamgate-redis",
    "streamgate",
];

/// The oldest compiler that the crates declare to build with.
const RUST_VERSION: &str = env!("CARGO_PKG_RUST_VERSION");

/// Builds the documentation, checks the packages as a registry would hold them, and checks all
/// crates with the oldest compiler that they declare.
///
/// # Errors
///
/// A link or a package is broken, or that compiler is missing or refuses.
pub(crate) fn run() -> anyhow::Result<()> {
    documentation()?;
    packages::check(&CRATES)?;
    oldest_compiler()
}

fn documentation() -> anyhow::Result<()> {
    announce("cargo doc");
    let mut cargo = command("cargo");
    cargo.args(["doc", "--no-deps", "--all-features"]);
    cargo.args(selection()).env("RUSTDOCFLAGS", "-D warnings");
    command::run(&mut cargo, "fix the errors above")
}

fn oldest_compiler() -> anyhow::Result<()> {
    let version = output(command("rustc").arg("--version")).context("rustc does not answer")?;
    if is_release_of(&version, RUST_VERSION) {
        // Then every other suite is built by it.
        announce(&format!("Rust {RUST_VERSION} is the compiler in use"));
        return Ok(());
    }
    announce(&format!("cargo check with Rust {RUST_VERSION}"));
    let mut cargo = command("cargo");
    cargo.arg(format!("+{RUST_VERSION}")).arg("check");
    cargo.args(selection());
    command::run(
        &mut cargo,
        &format!("`rustup toolchain install {RUST_VERSION}` if it is missing"),
    )
}

/// Whether a line such as `rustc 1.95.0 (…)` is of the release `1.95`.
fn is_release_of(line: &str, release: &str) -> bool {
    let version = line.split(' ').nth(1).unwrap_or_default();
    let patch = version.strip_prefix(release);
    patch.is_some_and(|patch| patch.is_empty() || patch.starts_with('.'))
}

fn selection() -> impl Iterator<Item = &'static str> {
    CRATES.into_iter().flat_map(|name| ["-p", name])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_known_by_its_number() {
        for (line, expected) in [
            ("rustc 1.95.0 (59807616e 2026-04-14)", true),
            ("rustc 1.95.3", true),
            ("rustc 1.950.0", false),
            ("rustc 1.96.0", false),
            ("", false),
        ] {
            assert_eq!(is_release_of(line, "1.95"), expected, "{line:?}");
        }
    }
}
