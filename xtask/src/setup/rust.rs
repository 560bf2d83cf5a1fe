//! The compiler for wasm32.

use std::time::Duration;

use super::{Missing, Purpose, debian, executable};
use crate::command::{announce, command, succeeds_within};
use crate::toolchain::{Goal, Std, Toolchain};

/// A rustup that cannot reach its server must not hold up the rest for long.
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);

/// Asks rustup for what the active toolchain lacks. Where it cannot, there are Debian's packages.
pub(crate) fn add_to_rustup(purpose: Purpose) {
    if satisfied(purpose) || executable::find("rustup").is_none() {
        return;
    }
    let arguments: &[&str] = match purpose {
        Purpose::Demo => &["target", "add", "wasm32-unknown-unknown"],
        Purpose::Package | Purpose::Test => &["component", "add", "rust-src"],
        Purpose::Bench => return,
    };
    announce(&format!("rustup {}", arguments.join(" ")));
    if !succeeds_within(command("rustup").args(arguments), RUSTUP_LIMIT) {
        announce("rustup could not; Debian's rustc-web will do");
    }
}

pub(crate) fn missing(purpose: Purpose) -> Option<Missing> {
    (!satisfied(purpose)).then_some(Missing {
        what: "a compiler for wasm32",
        packages: &["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy"],
        elsewhere: "rustup component add rust-src && rustup target add wasm32-unknown-unknown",
    })
}

fn satisfied(purpose: Purpose) -> bool {
    match purpose {
        Purpose::Demo => Toolchain::find(Goal::Quick).is_some(),
        // Where neither rustup nor apt can help, a somewhat larger package is better than none.
        Purpose::Package => Toolchain::find(Goal::Small)
            .is_some_and(|found| found.std == Std::Rebuilt || !debian::has_apt()),
        Purpose::Test => {
            satisfied(Purpose::Package)
                && Toolchain::find(Goal::Quick).is_some_and(|found| found.has_clippy())
        }
        Purpose::Bench => true,
    }
}
