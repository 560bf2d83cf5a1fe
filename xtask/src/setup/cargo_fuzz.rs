//! cargo-fuzz, and the compiler for C++ that libFuzzer needs.

use super::cargo_tool::CargoTool;
use super::{Missing, executable};

pub(crate) const CARGO_FUZZ: CargoTool = CargoTool {
    name: "cargo-fuzz",
    version: "0.13.2",
};

pub(super) fn missing() -> Option<Missing> {
    executable::find("c++").is_none().then_some(Missing {
        what: "a compiler for C++",
        packages: &["g++"],
        elsewhere: "install g++ or clang",
    })
}
