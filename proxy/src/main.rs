//! The command `streamgate`.

use std::io::Write;
use std::process::ExitCode;

mod cli;

/// After a burst, jemalloc gives the memory back to the system within ten seconds, from threads of
/// its own: of 1.9 GB that were freed, 18 MB were left after eight seconds. mimalloc kept 1.8 GB
/// for as long as its threads were idle.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
