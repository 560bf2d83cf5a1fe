//! The npm package's type declarations, checked by what uses them.

use crate::command::{self, announce, command};
use crate::setup::npm;
use crate::workspace;

/// Runs the TypeScript compiler over tests/runtimes/types.
///
/// # Errors
///
/// The declarations or their use are wrong.
pub(crate) fn run() -> anyhow::Result<()> {
    npm::install()?;
    announce("tsc (tests/runtimes/types)");
    let mut tsc = command(npm::program("tsc"));
    tsc.arg("-p")
        .arg(workspace::root().join("tests/runtimes/types"));
    command::run(&mut tsc, "see client-wasm/npm/index.d.ts")
}
