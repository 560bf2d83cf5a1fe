//! Module to text, for what bundles and serves JavaScript alone.

use std::fs;
use std::path::Path;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::command::announce;
use crate::toolchain::Goal;

/// Writes the module once more, as compressed text.
pub(super) fn write(module: &Path, dist: &Path, goal: Goal) -> anyhow::Result<()> {
    announce("inlining the wasm module");
    let bytes = fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    let text = format!(
        "// The wasm module, as deflate (RFC 1951) in base64.\nexport default \"{}\";\n",
        STANDARD.encode(deflate(&bytes, goal)?)
    );
    fs::write(dist.join("module-inline.js"), text)?;
    Ok(())
}

/// Zopfli's output is 3 to 5 % smaller than zlib's best, for a few seconds' work.
fn deflate(bytes: &[u8], goal: Goal) -> anyhow::Result<Vec<u8>> {
    let mut options = zopfli::Options::default();
    if goal == Goal::Quick {
        options.iteration_count = std::num::NonZeroU64::MIN;
    }
    let mut deflated = Vec::new();
    zopfli::compress(options, zopfli::Format::Deflate, bytes, &mut deflated)?;
    Ok(deflated)
}
