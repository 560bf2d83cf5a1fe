//! The command `streamgate`.

use std::io::Write;
use std::process::ExitCode;

mod cli;

/// A request takes a few small allocations on both sides of Redis. With mimalloc, an add takes
/// about an eighth less processor time of the server than with the system's allocator, and an idle
/// socket takes about 7 KiB.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If stderr is closed, nobody can read the error.
            let _ = writeln!(std::io::stderr(), "streamgate: {error}");
            error.exit_code()
        }
    }
}
