//! Licences, sources and duplicates of dependencies; advisories where their database can be reached.

use clap::Args;

use crate::command::{announce, command, run};
use crate::setup::cargo_deny::CARGO_DENY;

/// What to check beside licences, sources and duplicates.
#[derive(Args)]
pub(crate) struct Options {
    /// Fetch the database of advisories from GitHub, and check them too
    #[arg(long)]
    advisories: bool,
}

/// Checks the dependencies by `deny.toml`. Builds cargo-deny, if there is none.
///
/// # Errors
///
/// A dependency is not as it should be.
pub(crate) fn check(options: &Options) -> anyhow::Result<()> {
    CARGO_DENY.install()?;
    announce("dependencies");
    let mut deny = command(CARGO_DENY.program());
    deny.args(["check", "licenses", "bans", "sources"]);
    if options.advisories {
        deny.arg("advisories");
    }
    run(&mut deny, "deny.toml says what is allowed, and why")
}
