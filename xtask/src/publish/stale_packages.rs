//! Removing the packages of an earlier run, which cargo would take for those of this one.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use anyhow::Context;

/// How the names of all our crates begin.
const OURS: &str = "streamgate";

/// Removes what earlier runs of `cargo package` left of our crates: the sources that it extracted
/// into cargo's home, and their builds in `target`. Cargo takes a version of a registry for
/// unchangeable, so it extracts and builds each only once.
pub(super) fn remove(target: &Path) -> anyhow::Result<()> {
    for registry in folders(&cargo_home()?.join("registry/src"))? {
        // A registry of packages has no name, so its folder has only a hash.
        if name(&registry).starts_with('-') {
            remove_ours(&registry)?;
        }
    }
    remove_ours(&target.join("debug/.fingerprint"))
}

fn remove_ours(folder: &Path) -> anyhow::Result<()> {
    for path in folders(folder)? {
        if name(&path).starts_with(OURS) {
            fs::remove_dir_all(&path).with_context(|| format!("{}", path.display()))?;
        }
    }
    Ok(())
}

/// Returns the folders in a folder; none if it does not exist.
fn folders(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("{}", folder.display()))?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

fn cargo_home() -> anyhow::Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = env::home_dir().context("there is no home folder")?;
    Ok(home.join(".cargo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_folders_are_removed() {
        let folder = env::temp_dir().join(format!("streamgate-stale-{}", std::process::id()));
        for name in ["streamgate-0.1.0", "streamgate-redis-0.1.0", "serde-1.0.0"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        remove_ours(&folder).unwrap();
        let left = folders(&folder).unwrap();
        assert_eq!(left, [folder.join("serde-1.0.0")]);
        fs::remove_dir_all(&folder).unwrap();
        remove_ours(&folder).unwrap();
    }
}
