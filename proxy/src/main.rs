//! The command `streamgate`.

use std::io::Write;
use std::process::ExitCode;

mod cli;

/// A request is a few small allocations on both sides of Redis; with this one an add takes about an
/// eighth less of the server's processor time than with the system's, measured in turns.
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
