//! Debian's packages.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use super::executable;
use crate::command::{announce, command, output, run};
use crate::files::remove_folder;

const INSTALL: [&str; 5] = [
    "install",
    "--yes",
    "--no-install-recommends",
    // Another apt may be at work; wait for it, in seconds, rather than fail.
    "--option=DPkg::Lock::Timeout=300",
    // Else a progress bar is drawn.
    "--option=Dpkg::Use-Pty=0",
];

/// Whether this system has apt.
pub(crate) fn has_apt() -> bool {
    executable::find("apt-get").is_some()
}

/// Installs packages, as root or by a `sudo` that asks nothing.
///
/// # Errors
///
/// There is neither, or apt failed; the error holds the command to run.
pub(crate) fn install(packages: &[&str]) -> anyhow::Result<()> {
    let by_hand = format!(
        "sudo apt-get update && sudo apt-get install --yes --no-install-recommends {}",
        packages.join(" ")
    );
    if apt_get().is_none() {
        bail!("installing packages needs root; run:\n  {by_hand}");
    }
    announce(&format!("apt-get install {}", packages.join(" ")));
    for arguments in [&["update", "--quiet=2"][..], &INSTALL] {
        let mut apt = apt_get().context("the rights of root are gone")?;
        apt.args(arguments);
        if arguments.first() == INSTALL.first() {
            apt.args(["--quiet=2"]).args(packages);
        }
        run(&mut apt, &format!("run it by hand:\n  {by_hand}"))?;
    }
    Ok(())
}

/// Unpacks a package's files into a folder: nothing is installed, no service is started, and no
/// root is needed where apt's lists are there.
///
/// # Errors
///
/// apt knows no such package, cannot download it, or its archive cannot be unpacked.
pub(crate) fn unpack(package: &str, folder: &Path) -> anyhow::Result<()> {
    announce(&format!("apt-get download {package}"));
    remove_folder(folder)?;
    fs::create_dir_all(folder)?;
    let mut download = command("apt-get");
    download
        .current_dir(folder)
        .args(["download", "--quiet=2", package]);
    run(&mut download, "run `sudo apt-get update` and try again")?;
    let archive = fs::read_dir(folder)?
        .next()
        .context("apt-get left no archive")??;
    let mut extract = command("dpkg-deb");
    extract.arg("--extract").arg(archive.path()).arg(folder);
    run(&mut extract, "the archive may be damaged; try again")?;
    Ok(fs::remove_file(archive.path())?)
}

fn apt_get() -> Option<Command> {
    // Without a terminal nobody answers; and no service is to be started where that can be said.
    let environment = ["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"];
    let mut command = if output(command("id").arg("-u"))? == "0" {
        command("env")
    } else {
        output(command("sudo").args(["-n", "true"]))?;
        let mut sudo = command("sudo");
        sudo.args(["-n", "env"]);
        sudo
    };
    command.args(environment).arg("apt-get");
    Some(command)
}
