//! What the tests' programs are told of this machine.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::setup::{browser, nats, node, redis};
use crate::workspace;

/// `PATH`, with a Node.js that `setup` fetched before all else.
pub(crate) fn path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let fetched = node::fetched().and_then(|program| program.parent().map(PathBuf::from));
    let folders = fetched.into_iter().chain(env::split_paths(&path));
    // Only a folder with a colon in its name cannot be joined; then `PATH` stays as it is.
    env::join_paths(folders).unwrap_or(path)
}

/// Tells a test program where the proxy, the Redis servers, NATS, Chromium and the page are.
pub(crate) fn describe(command: &mut Command) -> &mut Command {
    let places = [
        ("STREAMGATE_BIN", Some(workspace::binary("streamgate"))),
        ("STREAMGATE_WWW", Some(workspace::www())),
        ("STREAMGATE_RUNTIMES", Some(workspace::runtimes())),
        ("STREAMGATE_CHROMIUM", browser::find()),
        ("STREAMGATE_REDIS_7", redis::find_7()),
        ("STREAMGATE_REDIS_8", redis::find_8()),
        ("STREAMGATE_NATS", nats::find()),
    ];
    command.env("PATH", path());
    for (name, place) in places {
        if let Some(place) = place {
            command.env(name, place);
        }
    }
    command
}
