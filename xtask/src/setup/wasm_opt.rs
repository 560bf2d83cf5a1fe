//! binaryen's optimizer.

use std::path::PathBuf;

use super::{Missing, executable};

pub(crate) fn find() -> Option<PathBuf> {
    executable::find("wasm-opt")
}

pub(crate) fn missing() -> Option<Missing> {
    find().is_none().then_some(Missing {
        what: "wasm-opt",
        packages: &["binaryen"],
        elsewhere: "install binaryen (brew install binaryen, or your distribution's package)",
    })
}
