//! The command `streamgate`.

use std::io::Write;
use std::process::ExitCode;

mod cli;

/// A request is a few small allocations on both sides of Redis; this one makes them cheaper by a
/// sixth of the server's processor time (`cargo xtask bench`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell if stderr is closed.
            let _ = writeln!(std::io::stderr(), "streamgate: {failure}");
            failure.status()
        }
    }
}
