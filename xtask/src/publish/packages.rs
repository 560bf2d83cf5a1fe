//! The packages as a registry would hold them, and whether each compiles by itself.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::command::{announce, command, run};
use crate::workspace;

/// Packages these crates, and checks each as whoever depends on it alone would compile it.
///
/// `cargo package` compiles what it has packaged, and all that this depends on, to machine code.
/// Here the packages form a workspace of their own, and the compiler only checks them. It shares
/// what other suites have checked.
///
/// # Errors
///
/// A package lacks a file, a feature or a dependency.
pub(super) fn check(crates: &[&str]) -> anyhow::Result<()> {
    announce("cargo package");
    let folder = workspace::target().join("publish");
    pack(crates, &folder)?;
    let unpacked = folder.join("crates");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked)?;
    }
    fs::create_dir_all(&unpacked)?;
    for name in crates {
        unpack(&folder, name, &unpacked)?;
    }
    fs::write(unpacked.join("Cargo.toml"), manifest(crates)?)?;
    fs::copy(
        workspace::root().join("Cargo.lock"),
        unpacked.join("Cargo.lock"),
    )?;
    for name in crates {
        announce(&format!("cargo check of the package {name}"));
        let mut cargo = command("cargo");
        cargo
            .current_dir(&unpacked)
            .args(["check", "-p", name, "--target-dir"])
            .arg(workspace::target());
        run(&mut cargo, "the package lacks what the workspace has")?;
    }
    Ok(())
}

fn pack(crates: &[&str], folder: &Path) -> anyhow::Result<()> {
    let mut cargo = command("cargo");
    // A change that is not committed yet is packaged too.
    cargo.args(["package", "--allow-dirty", "--no-verify", "--target-dir"]);
    cargo.arg(folder);
    for name in crates {
        cargo.args(["-p", name]);
    }
    run(&mut cargo, "fix the errors above")
}

fn unpack(folder: &Path, name: &str, to: &Path) -> anyhow::Result<()> {
    let mut tar = command("tar");
    tar.arg("-xzf").arg(package_file(folder, name));
    tar.arg("-C").arg(to);
    run(&mut tar, "is tar installed?")
}

fn package_file(folder: &Path, name: &str) -> PathBuf {
    folder
        .join("package")
        .join(format!("{name}-{}.crate", workspace::VERSION))
}

/// Returns the manifest of the workspace of packages. Its profiles are those of this workspace, so
/// that both share dependencies.
fn manifest(crates: &[&str]) -> anyhow::Result<String> {
    let own = fs::read_to_string(workspace::root().join("Cargo.toml"))?;
    let profiles = own
        .find("[profile.dev]")
        .context("the workspace has no profile `dev`")?;
    let mut members = String::new();
    let mut patches = String::new();
    for name in crates {
        let path = format!("{name}-{}", workspace::VERSION);
        writeln!(members, "    \"{path}\",")?;
        writeln!(patches, "{name} = {{ path = \"{path}\" }}")?;
    }
    Ok(format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\n{members}]\n\n[patch.crates-io]\n{patches}\n{}",
        &own[profiles..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_are_a_workspace_in_which_each_depends_on_the_others() {
        let manifest = manifest(&["a", "b"]).unwrap();
        let version = workspace::VERSION;
        assert!(manifest.starts_with("[workspace]\n"));
        assert!(manifest.contains(&format!("    \"a-{version}\",\n    \"b-{version}\",\n")));
        assert!(manifest.contains(&format!("b = {{ path = \"b-{version}\" }}\n")));
        assert!(manifest.contains("\n[profile.dev]\n"));
    }
}
