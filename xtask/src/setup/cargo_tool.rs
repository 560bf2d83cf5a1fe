//! Commands of cargo that this workspace builds for itself.

use std::path::PathBuf;

use super::executable;
use crate::command::{announce, command, run};
use crate::workspace;

/// A command of cargo, by the name and version of its crate.
#[derive(Debug)]
pub(crate) struct CargoTool {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

impl CargoTool {
    /// Returns the place of the command: on `PATH`, or where [`install`](Self::install) puts it.
    pub(crate) fn program(&self) -> PathBuf {
        executable::find(self.name).unwrap_or_else(|| self.folder().join("bin").join(self.name))
    }

    /// Builds the command for this workspace, if there is none.
    pub(crate) fn install(&self) -> anyhow::Result<()> {
        if self.program().is_file() {
            return Ok(());
        }
        announce(&format!("building {}", self.name));
        let mut cargo = command("cargo");
        cargo
            .args(["install", self.name, "--locked", "--version", self.version])
            .arg("--root")
            .arg(self.folder())
            .env("CARGO_TARGET_DIR", self.folder().join("build"));
        let advice = format!(
            "it needs the registry of crates; `cargo install {}` does as well",
            self.name
        );
        run(&mut cargo, &advice)
    }

    fn folder(&self) -> PathBuf {
        workspace::tools().join(self.name)
    }
}
