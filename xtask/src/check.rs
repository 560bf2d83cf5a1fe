//! Formatting and lints.

use anyhow::Context;
use clap::ValueEnum;

use crate::command::{self, announce, command};
use crate::setup::{self, Purpose};
use crate::toolchain::{Goal, Toolchain};

/// A part of the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Formatting
    Fmt,
    /// Lints of the native code
    Native,
    /// Lints of the code as wasm32 compiles it
    Wasm,
}

/// Checks one part, or all.
///
/// # Errors
///
/// Something is not as it should be.
pub(crate) fn run(part: Option<Part>) -> anyhow::Result<()> {
    let wanted = |candidate| part.is_none_or(|part| part == candidate);
    if wanted(Part::Fmt) {
        fmt()?;
    }
    if wanted(Part::Native) {
        native()?;
    }
    if wanted(Part::Wasm) {
        wasm()?;
    }
    Ok(())
}

fn fmt() -> anyhow::Result<()> {
    announce("cargo fmt --check");
    let mut cargo = command("cargo");
    cargo.args(["fmt", "--all", "--check"]);
    command::run(&mut cargo, "run `cargo fmt --all`")
}

/// xtask by itself: built together with the others, its dependencies would have other features than
/// in `cargo xtask`, and each command would rebuild them.
fn native() -> anyhow::Result<()> {
    for selection in [&["--workspace", "--exclude", "xtask"][..], &["-p", "xtask"]] {
        announce(&format!("cargo clippy {}", selection.join(" ")));
        let mut cargo = command("cargo");
        cargo.arg("clippy").args(selection);
        cargo.args(["--all-targets", "--", "-D", "warnings"]);
        command::run(&mut cargo, "fix the errors above")?;
    }
    Ok(())
}

fn wasm() -> anyhow::Result<()> {
    setup::run(Purpose::Demo)?;
    let toolchain = Toolchain::find(Goal::Quick).context("setup found a compiler for wasm32")?;
    for features in [&[][..], &["--no-default-features", "--features", "npm"]] {
        announce(&format!("cargo clippy for wasm32 {}", features.join(" ")));
        let mut cargo = toolchain.cargo("clippy");
        // Without --no-deps, so that what it uses of this workspace is linted too.
        cargo.args(["-p", "streamgate-wasm"]);
        cargo.args(features).args(["--", "-D", "warnings"]);
        command::run(
            &mut cargo,
            "fix the errors above; `apt-get install rust-web-clippy` if it is missing",
        )?;
    }
    Ok(())
}
