//! Sources to one script for each platform, so that a page without a bundler loads two files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{announce, command, run};
use crate::setup::npm;
use crate::workspace;

const PLATFORMS: [&str; 3] = ["browser", "node", "workerd"];

/// Writes `dist/platform/*.js`: bundles, or without a bundler references to the sources. They lie as
/// deep as the sources, so the paths of what is not bundled stay right.
pub(super) fn write(dist: &Path) -> anyhow::Result<()> {
    announce("bundling the scripts");
    let folder = dist.join("platform");
    fs::create_dir_all(&folder)?;
    for platform in PLATFORMS {
        let script = folder.join(format!("{platform}.js"));
        if program().exists() {
            bundle(platform, &script)?;
        } else {
            let text = format!("export * from \"../../src/platform/{platform}.js\";\n");
            fs::write(script, text)?;
        }
    }
    Ok(())
}

fn program() -> PathBuf {
    npm::program("esbuild")
}

fn bundle(platform: &str, script: &Path) -> anyhow::Result<()> {
    let mut esbuild = command(program());
    esbuild
        .current_dir(workspace::npm_package())
        .arg(format!("src/platform/{platform}.js"))
        .args(["--bundle", "--format=esm", "--target=es2022"])
        // Constants become numbers, which another bundler cannot do with the variables of a bundle.
        .arg("--minify-syntax")
        .args([
            "--external:*.wasm",
            "--external:*/module-inline.js",
            "--external:node:*",
        ])
        .args(["--log-level=warning"])
        .arg(format!("--outfile={}", script.display()));
    run(&mut esbuild, "the package does not bundle")
}
