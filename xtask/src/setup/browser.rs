//! The browser that the tests drive: Chromium.

use std::env;
use std::path::{Path, PathBuf};

use super::{Missing, executable};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
const MACOS: &str = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";

/// The browser that `STREAMGATE_CHROMIUM` names, or one that is installed.
pub(crate) fn find() -> Option<PathBuf> {
    env::var_os("STREAMGATE_CHROMIUM")
        .map(PathBuf::from)
        .or_else(|| NAMES.iter().find_map(|name| executable::find(name)))
        .or_else(|| Path::new(MACOS).exists().then(|| MACOS.into()))
}

pub(crate) fn missing() -> Option<Missing> {
    find().is_none().then_some(Missing {
        what: "Chromium",
        packages: &["chromium"],
        elsewhere: "install Chromium or Chrome, or set STREAMGATE_CHROMIUM to it",
    })
}
