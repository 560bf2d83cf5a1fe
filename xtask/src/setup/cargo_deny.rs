//! cargo-deny, which checks dependencies. It takes minutes to build.

use super::cargo_tool::CargoTool;

pub(crate) const CARGO_DENY: CargoTool = CargoTool {
    name: "cargo-deny",
    version: "0.20.2",
};
