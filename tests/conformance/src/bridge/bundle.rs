//! Bundling the scripts of `tests/runtimes` with the package, one file for each runtime.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use super::process::{node_module, node_modules};

/// Bundles a script into the folder, with the export conditions of the runtime.
pub(super) async fn bundle(script: &str, conditions: &str, into: &Path) -> anyhow::Result<()> {
    node_module("streamgate/package.json")?;
    let output = Command::new(node_module(".bin/esbuild")?)
        .arg(scripts().join(script))
        .args([
            "--bundle",
            "--format=esm",
            "--target=es2022",
            "--log-level=warning",
        ])
        .args(["--loader:.wasm=copy", "--asset-names=[name]"])
        .arg(format!("--conditions={conditions}"))
        .arg(format!("--outdir={}", into.display()))
        .env("NODE_PATH", node_modules())
        .output()
        .await
        .context("cannot start esbuild")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "esbuild cannot bundle {script}:\n{stderr}"
    );
    Ok(())
}

/// The folder `tests/runtimes`.
pub(super) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtimes")
}
