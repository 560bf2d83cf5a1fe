//! Where things are.

use std::env;
use std::path::{Path, PathBuf};

/// The version that the crates and the npm package share.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// The folder cargo builds into; everything that is made goes below it.
pub(crate) fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// A command of this workspace, as the debug profile builds it.
pub(crate) fn binary(name: &str) -> PathBuf {
    built("debug", name)
}

/// A command of this workspace, as the release profile builds it.
pub(crate) fn optimized(name: &str) -> PathBuf {
    built("release", name)
}

/// The npm package's sources.
pub(crate) fn npm_package() -> PathBuf {
    root().join("client-wasm/npm")
}

/// Tools that `setup` fetched for this workspace alone.
pub(crate) fn tools() -> PathBuf {
    target().join("tools")
}

/// The folder whose `node_modules` the JavaScript tests use.
pub(crate) fn runtimes() -> PathBuf {
    target().join("runtimes")
}

/// The demo page with the npm package beside it, as the proxy serves it.
pub(crate) fn www() -> PathBuf {
    target().join("www")
}

fn built(profile: &str, name: &str) -> PathBuf {
    target()
        .join(profile)
        .join(name)
        .with_extension(env::consts::EXE_EXTENSION)
}
