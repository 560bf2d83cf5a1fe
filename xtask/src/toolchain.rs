//! The compiler for wasm32.
//!
//! Two origins: the active toolchain (rustup's), or Debian's `rustc-web` where rustup cannot
//! download. Two standard libraries: the one that comes ready, or one rebuilt from its source,
//! which makes a download about 3 kB smaller and is what the npm package is made with. Rebuilding
//! takes `RUSTC_BOOTSTRAP`, because cargo has no stable switch for it yet.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{command, output};
use crate::workspace;

const TARGET: &str = "wasm32-unknown-unknown";

/// The same flags for every build, or cargo rebuilds the standard library.
const SMALL_RUSTFLAGS: &str = "-Zunstable-options -Cpanic=immediate-abort";
const SMALL_CARGO_FLAGS: [&str; 2] = ["-Zbuild-std=std", "-Zbuild-std-features=optimize_for_size"];

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_CLIPPY: &str = "/usr/bin/cargo-clippy";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// What a build is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Ready soon.
    Quick,
    /// Small to download.
    Small,
}

/// The standard library a module is linked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Std {
    Ready,
    Rebuilt,
}

/// A way to compile for wasm32.
#[derive(Debug)]
pub(crate) struct Toolchain {
    debian: bool,
    linker: Option<PathBuf>,
    pub(crate) std: Std,
}

impl Toolchain {
    /// The best one here for the goal.
    pub(crate) fn find(goal: Goal) -> Option<Self> {
        let ready = || Self::ready();
        let rebuilt = || Self::rebuilt(false).or_else(|| Self::rebuilt(true));
        match goal {
            Goal::Quick => ready().or_else(rebuilt),
            Goal::Small => rebuilt().or_else(ready),
        }
    }

    /// A cargo command for wasm32, in a target folder of its own so that it waits for no other.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = if !self.debian {
            command("cargo")
        } else if subcommand == "clippy" {
            command(DEBIAN_CLIPPY)
        } else {
            command(DEBIAN_CARGO)
        };
        cargo.arg(subcommand);
        if self.debian {
            cargo.env("CARGO", DEBIAN_CARGO).env("RUSTC", DEBIAN_RUSTC);
        }
        if let Some(linker) = &self.linker {
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        if self.std == Std::Rebuilt {
            cargo
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTFLAGS", SMALL_RUSTFLAGS)
                .args(SMALL_CARGO_FLAGS);
        }
        cargo
            .args(["--target", TARGET, "--target-dir"])
            .arg(target_folder());
        cargo
    }

    /// Whether it comes with clippy; Debian's is a package of its own.
    pub(crate) fn has_clippy(&self) -> bool {
        !self.debian || Path::new(DEBIAN_CLIPPY).exists()
    }

    /// How the std and the compiler are named to people.
    pub(crate) fn description(&self) -> &'static str {
        match (self.debian, self.std) {
            (_, Std::Ready) => "the toolchain's own std",
            (false, Std::Rebuilt) => "std rebuilt for size",
            (true, Std::Rebuilt) => "std rebuilt for size by Debian's rustc-web",
        }
    }

    fn ready() -> Option<Self> {
        let library = sysroot("rustc")?
            .join("lib/rustlib")
            .join(TARGET)
            .join("lib");
        library.is_dir().then_some(Self {
            debian: false,
            linker: None,
            std: Std::Ready,
        })
    }

    fn rebuilt(debian: bool) -> Option<Self> {
        let rustc = if debian { DEBIAN_RUSTC } else { "rustc" };
        let source = sysroot(rustc)?.join("lib/rustlib/src/rust/library/Cargo.lock");
        let cargo = !debian || Path::new(DEBIAN_CARGO).exists();
        (source.exists() && cargo && knows_the_flags(rustc)).then(|| Self {
            debian,
            linker: debian.then(rust_lld).flatten(),
            std: Std::Rebuilt,
        })
    }
}

/// The file that a build leaves.
pub(crate) fn artifact(profile: &str, name: &str) -> PathBuf {
    target_folder().join(TARGET).join(profile).join(name)
}

fn target_folder() -> PathBuf {
    workspace::target().join("wasm")
}

fn sysroot(rustc: &str) -> Option<PathBuf> {
    output(command(rustc).args(["--print", "sysroot"])).map(PathBuf::from)
}

fn knows_the_flags(rustc: &str) -> bool {
    let mut probe = command(rustc);
    probe
        .env("RUSTC_BOOTSTRAP", "1")
        .args(SMALL_RUSTFLAGS.split(' '))
        .args(["--target", TARGET, "--print", "cfg"]);
    output(&mut probe).is_some()
}

/// Debian's compiler comes without a linker for wasm; the active toolchain has one.
fn rust_lld() -> Option<PathBuf> {
    let sysroot = sysroot("rustc")?;
    let host = output(command("rustc").args(["--print", "host-tuple"]))?;
    let linker = sysroot.join("lib/rustlib").join(host).join("bin/rust-lld");
    linker.exists().then_some(linker)
}
