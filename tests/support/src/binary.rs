//! Finding the binaries of child processes.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::bail;

/// Returns the path of the `streamgate` command: `STREAMGATE_BIN`, or `debug/streamgate` in the
/// target folder.
///
/// # Errors
///
/// It is missing.
pub fn streamgate() -> anyhow::Result<PathBuf> {
    let default = target_folder().join("debug/streamgate");
    find("STREAMGATE_BIN", &default, "cargo build -p streamgate")
}

/// Returns the folder that cargo builds into.
pub fn target_folder() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => workspace().join(folder),
        None => workspace().join("target"),
    }
}

/// Returns the binary that the variable names, or the default. Looks up a bare name on `PATH`.
pub(crate) fn find(variable: &str, default: &Path, remedy: &str) -> anyhow::Result<PathBuf> {
    let wanted = env::var_os(variable).map_or_else(|| default.to_owned(), PathBuf::from);
    if wanted.components().count() > 1 {
        let path = workspace().join(wanted);
        if path.is_file() {
            return Ok(path);
        }
        bail!(
            "{} is missing; run `{remedy}`, or set {variable}",
            path.display()
        );
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let Some(found) = env::split_paths(&path)
        .map(|dir| dir.join(&wanted))
        .find(|p| p.is_file())
    else {
        bail!(
            "{} is not on PATH; run `{remedy}`, or set {variable}",
            wanted.display()
        );
    };
    Ok(found)
}

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
