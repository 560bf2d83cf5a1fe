//! The npm package: compile, bind, optimize, inline, pack.

use crate::command::announce;
use crate::setup::{self, Purpose};
use crate::toolchain::Goal;
use crate::workspace;

mod bindgen;
mod bundle;
mod compile;
mod inline;
mod optimize;
mod package;

/// Builds the npm package and puts it where the tests and the demo page look for it.
///
/// # Errors
///
/// A step failed; the error shows its command.
pub(crate) fn run() -> anyhow::Result<()> {
    setup::run(Purpose::Package)?;
    build(Goal::Small)?;
    let unpacked = package::pack()?;
    package::stage_page(&unpacked)
}

/// Builds the demo page with as few tools as will do.
pub(crate) fn page() -> anyhow::Result<()> {
    build(Goal::Quick)?;
    package::stage_page(&workspace::npm_package())
}

/// Builds the application in Rust that the tests run in Node.js and in a page.
///
/// # Errors
///
/// A step failed; the error shows its command.
pub(crate) fn application() -> anyhow::Result<()> {
    setup::run(Purpose::Package)?;
    let module = compile::module("streamgate-wasm-app", &[], &[], Goal::Small)?;
    bindgen::bind_for_node(&module, &workspace::runtimes().join("wasm-app"))?;
    bindgen::bind_for_page(&module, &workspace::runtimes().join("wasm-app-web"))
}

/// Fills the package's `dist` folder.
fn build(goal: Goal) -> anyhow::Result<()> {
    package::check_version()?;
    let module = compile::module("streamgate-wasm", &["npm"], &SMALL_STACK, goal)?;
    let dist = workspace::npm_package().join("dist");
    let bound = bindgen::bind(&module, &dist)?;
    if goal == Goal::Small || optimize::is_installed() {
        optimize::optimize(&bound)?;
    } else {
        announce("no wasm-opt here: the module stays a little larger");
    }
    inline::write(&bound, &dist, goal)?;
    bundle::write(&dist)
}

/// Each client has a memory of its own. The default stack is 1 MiB of it; the engine is not
/// recursive.
const SMALL_STACK: [&str; 2] = ["--", "-Clink-arg=-zstack-size=131072"];

/// The name of the module and of the crate's library.
pub(crate) const NAME: &str = "streamgate_wasm";
