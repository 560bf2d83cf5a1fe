//! The command line: from the arguments to a running server.

mod address;
mod admin;
mod args;
mod connect;
mod error;
mod file_limit;
mod logging;
mod runtime;
mod serve;
mod signals;

use self::args::Command;
pub(crate) use self::error::CommandError;

/// Runs the command that the arguments name.
pub(crate) fn run() -> Result<(), CommandError> {
    let Some(Command::Serve(args)) = args::parse()? else {
        return Ok(());
    };
    logging::log_to_stderr(&args.log)?;
    let threads = args.threads.unwrap_or_else(runtime::default_threads);
    if args.busy_poll_us > 0 && threads > 1 {
        return Err(CommandError::usage(format_args!(
            "invalid --busy-poll-us {} with {threads} threads: busy polling takes one thread; add \
             --threads 1",
            args.busy_poll_us
        )));
    }
    let runtime = runtime::build(threads).map_err(|error| {
        CommandError::runtime(format_args!("cannot start {threads} threads: {error}"))
    })?;
    runtime.block_on(serve::serve(args))
}
