//! Finds what is missing on this machine and installs it.

use anyhow::bail;
use clap::ValueEnum;

use self::browser::{CHROMIUM, FIREFOX};
use crate::command::announce;

pub(crate) mod browser;
pub(crate) mod cargo_deny;
pub(crate) mod cargo_fuzz;
mod cargo_tool;
pub(crate) mod executable;
pub(crate) mod load_balancer;
pub(crate) mod nats;
pub(crate) mod node;
pub(crate) mod npm;
pub(crate) mod python;
pub(crate) mod redis;

mod debian;
mod make;
mod rust;
mod shared_libraries;
mod wheel;

/// The purpose that a machine is set up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Purpose {
    /// The live demo: a compiler for wasm32
    Demo,
    /// The npm package: also Node.js and the packages of tests/runtimes, wasm-opt among them
    Package,
    /// All tests: also two Redis servers, Valkey, nginx, HAProxy, Chromium, Firefox, a Python library
    /// and cargo-fuzz
    Test,
    /// The benchmark alone: Redis 7, and NATS to measure beside
    Bench,
}

/// A missing tool, and how to get it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Missing {
    /// What it is, as the user knows it.
    what: &'static str,
    /// The Debian packages that bring it.
    packages: &'static [&'static str],
    /// What to do where Debian's packages are of no use.
    elsewhere: &'static str,
}

/// Installs what is missing. Does nothing, quickly, when all is there.
///
/// # Errors
///
/// Something could not be installed; the error says what to do.
pub(crate) fn run(purpose: Purpose) -> anyhow::Result<()> {
    rust::add_to_rustup(purpose);
    install(missing(purpose))?;
    if matches!(purpose, Purpose::Package | Purpose::Test) {
        node::fetch_if_needed()?;
        npm::install()?;
    }
    if matches!(purpose, Purpose::Test | Purpose::Bench) {
        redis::link_7()?;
    }
    match purpose {
        Purpose::Demo | Purpose::Package => {}
        Purpose::Test => {
            redis::fetch_8()?;
            redis::fetch_valkey()?;
            python::fetch_library()?;
            load_balancer::NGINX.fetch()?;
            load_balancer::HAPROXY.fetch()?;
            cargo_fuzz::CARGO_FUZZ.install()?;
        }
        Purpose::Bench => nats::fetch()?,
    }
    let still = missing(purpose);
    if !still.is_empty() {
        bail!("still missing after the installation: {}", names(&still));
    }
    announce(&format!("set up for: {}", name(purpose)));
    Ok(())
}

fn missing(purpose: Purpose) -> Vec<Missing> {
    let mut missing = vec![rust::missing(purpose), make::missing()];
    if matches!(purpose, Purpose::Package | Purpose::Test) {
        missing.extend([python::missing(purpose)]);
    }
    if matches!(purpose, Purpose::Test | Purpose::Bench) {
        missing.extend([redis::missing_7()]);
    }
    if purpose == Purpose::Test {
        missing.extend([CHROMIUM.missing(), FIREFOX.missing(), cargo_fuzz::missing()]);
    }
    missing.into_iter().flatten().collect()
}

fn install(missing: Vec<Missing>) -> anyhow::Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    if !debian::has_apt() {
        let mut text = format!("missing on this machine: {}", names(&missing));
        for Missing {
            what, elsewhere, ..
        } in &missing
        {
            text += &format!("\n  {what}: {elsewhere}");
        }
        bail!(text);
    }
    announce(&format!("missing: {}", names(&missing)));
    let packages: Vec<_> = missing.iter().flat_map(|m| m.packages).copied().collect();
    debian::install(&packages)
}

fn names(missing: &[Missing]) -> String {
    missing
        .iter()
        .map(|m| m.what)
        .collect::<Vec<_>>()
        .join(", ")
}

fn name(purpose: Purpose) -> String {
    purpose
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}
