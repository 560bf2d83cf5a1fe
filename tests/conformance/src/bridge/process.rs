//! Runtimes as child processes, and how their binaries are found.

use std::env;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use streamgate_test_support::binary::target_folder;
use tokio::process::ChildStdout;

/// How to install a missing runtime.
pub(super) const REMEDY: &str = "run `cargo xtask setup`";

/// A child process in a process group of its own. The group is killed when this is dropped.
#[derive(Debug)]
pub(super) struct ProcessGroup {
    child: Child,
    log: PathBuf,
}

impl ProcessGroup {
    /// Starts the command. Its output goes to a file in the folder.
    pub(super) fn spawn(command: &mut Command, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join("log");
        let file = File::create(&log)?;
        let child = start(command, file.try_clone()?.into(), file)?;
        Ok(Self { child, log })
    }

    /// Starts the command with its standard output as a pipe. Only its errors go to the file.
    pub(super) fn spawn_piped(
        command: &mut Command,
        folder: &Path,
    ) -> anyhow::Result<(Self, ChildStdout)> {
        let log = folder.join("log");
        let mut child = start(command, Stdio::piped(), File::create(&log)?)?;
        let stdout = child.stdout.take().context("standard output is a pipe")?;
        Ok((Self { child, log }, ChildStdout::from_std(stdout)?))
    }

    /// Its output so far.
    pub(super) fn output(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Fails with its exit status and output if it has ended.
    pub(super) fn check_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(
                "the process ended ({status}) and printed:\n{}",
                self.output()
            ),
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
        drop(self.child.wait());
    }
}

fn start(command: &mut Command, stdout: Stdio, stderr: File) -> anyhow::Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Finds Chromium: `STREAMGATE_CHROMIUM`, or the first of its usual names on `PATH`.
pub(super) fn chromium() -> anyhow::Result<PathBuf> {
    if let Some(path) = env::var_os("STREAMGATE_CHROMIUM") {
        return existing(path.into(), "STREAMGATE_CHROMIUM");
    }
    let path = env::var_os("PATH").unwrap_or_default();
    for name in ["chromium", "chromium-browser", "google-chrome"] {
        if let Some(found) = env::split_paths(&path)
            .map(|dir| dir.join(name))
            .find(|p| p.is_file())
        {
            return Ok(found);
        }
    }
    bail!("no Chromium is on PATH; {REMEDY}, or set STREAMGATE_CHROMIUM")
}

/// Finds a file of the npm packages, in `STREAMGATE_RUNTIMES` or in `runtimes` of the target.
pub(super) fn node_module(file: &str) -> anyhow::Result<PathBuf> {
    existing(node_modules().join(file), "STREAMGATE_RUNTIMES")
}

/// The folder of the npm packages.
pub(super) fn node_modules() -> PathBuf {
    let runtimes = env::var_os("STREAMGATE_RUNTIMES")
        .map_or_else(|| target_folder().join("runtimes"), PathBuf::from);
    runtimes.join("node_modules")
}

fn existing(path: PathBuf, variable: &str) -> anyhow::Result<PathBuf> {
    if path.exists() {
        return Ok(path);
    }
    bail!("{} is missing; {REMEDY}, or set {variable}", path.display())
}
