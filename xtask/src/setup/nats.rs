//! The NATS server that the benchmark measures beside.

use std::env;
use std::path::PathBuf;

use anyhow::{bail, ensure};

use super::{debian, executable};
use crate::workspace;

const ADVICE: &str = "install nats-server, or set STREAMGATE_NATS to it";

/// The server that `STREAMGATE_NATS` names, or the one that `setup` fetched, or `nats-server` on
/// `PATH`.
pub(crate) fn find() -> Option<PathBuf> {
    env::var_os("STREAMGATE_NATS")
        .map(PathBuf::from)
        .or_else(|| Some(fetched()).filter(|server| server.is_file()))
        .or_else(|| executable::find("nats-server"))
}

/// Fetches Debian's, if there is none. It is not installed: the package starts a service.
pub(crate) fn fetch() -> anyhow::Result<()> {
    if find().is_some() {
        return Ok(());
    }
    if !debian::has_apt() {
        bail!("missing on this machine: nats-server; {ADVICE}");
    }
    debian::unpack("nats-server", &folder())?;
    ensure!(
        executable::version(fetched()).is_some(),
        "the fetched nats-server does not run; {ADVICE}"
    );
    Ok(())
}

fn fetched() -> PathBuf {
    folder().join("usr/sbin/nats-server")
}

fn folder() -> PathBuf {
    workspace::tools().join("nats")
}
