//! Package to tarball, and to where it is used.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::command::{announce, command, run};
use crate::files::{copy, remove_folder};
use crate::workspace;

/// The parts of the package that the page needs.
const PAGE_PARTS: [&str; 3] = ["package.json", "index.d.ts", "dist"];

/// What `dist` refers to if it was made without a bundler. It is not packed.
const SOURCES: &str = "src";

/// The package carries the crates' version.
pub(super) fn check_version() -> anyhow::Result<()> {
    let place = workspace::npm_package().join("package.json");
    let text =
        fs::read_to_string(&place).with_context(|| format!("reading {}", place.display()))?;
    let manifest: serde_json::Value = serde_json::from_str(&text)?;
    let version = manifest["version"].as_str().unwrap_or("none");
    ensure!(
        version == workspace::VERSION,
        "{} has version {version}, the crates have {}; make them equal",
        place.display(),
        workspace::VERSION
    );
    Ok(())
}

/// Packs, and unpacks into the `node_modules` of the tests: what they use is what users get.
pub(super) fn pack() -> anyhow::Result<PathBuf> {
    announce("npm pack");
    let tarballs = workspace::target().join("npm");
    fs::create_dir_all(&tarballs)?;
    let mut npm = command("npm");
    npm.current_dir(workspace::npm_package())
        .args(["pack", "--silent", "--pack-destination"])
        .arg(&tarballs);
    run(&mut npm, "check client-wasm/npm/package.json")?;
    let installed = workspace::runtimes().join("node_modules/streamgate");
    remove_folder(&installed)?;
    fs::create_dir_all(&installed)?;
    let mut tar = command("tar");
    tar.arg("-xzf")
        .arg(tarballs.join(format!("streamgate-{}.tgz", workspace::VERSION)))
        .args(["--strip-components=1", "-C"])
        .arg(&installed);
    run(&mut tar, "install tar")?;
    Ok(installed)
}

/// Puts the page and the package side by side, as the proxy serves them.
pub(super) fn stage_page(package: &Path) -> anyhow::Result<()> {
    announce("assembling the demo page");
    let page = workspace::www();
    remove_folder(&page)?;
    copy(&workspace::root().join("www"), &page)?;
    let sources = package.join(SOURCES).exists().then_some(SOURCES);
    for part in PAGE_PARTS.into_iter().chain(sources) {
        copy(&package.join(part), &page.join("streamgate").join(part))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_has_the_crates_version() {
        check_version().unwrap();
    }
}
