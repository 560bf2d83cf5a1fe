//! The command line: from the arguments to a running server.

mod address;
mod admin;
mod args;
mod check;
mod command_line;
mod connect;
mod error;
mod file_limit;
mod listening;
mod logging;
mod reload;
mod revocations;
mod revoked_key;
mod runtime;
mod serve;
mod settings;
mod signals;
mod tls_files;
mod tls_reload;
mod token;

use self::args::Command;
use self::command_line::Invocation;
pub(crate) use self::error::CommandError;

/// Runs the command that the arguments name.
pub(crate) fn run() -> Result<(), CommandError> {
    let settings = match command_line::parse(std::env::args_os())? {
        Some(Invocation::Serve(settings)) => settings,
        Some(Invocation::Other(command)) => return run_and_end(command),
        None => return Ok(()),
    };
    let args = &settings.args;
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
    runtime.block_on(serve::serve(*settings))
}

/// Resolves the text of a settings file as `check` does, without looking up names, and describes all
/// of it.
#[cfg(feature = "fuzzing")]
pub(crate) fn describe_settings(path: &std::path::Path, text: &str) -> Result<String, String> {
    let resolve = || {
        let settings = command_line::resolve_text(path, text)?;
        let (limits, access) = match settings.file {
            Some((file, _)) => (file.limits, file.access),
            None => (None, None),
        };
        let mut config = settings.args.config();
        config.limits = limits;
        config
            .validate()
            .map_err(|error| CommandError::usage(error.message()))?;
        settings.args.origins()?;
        Ok(format!(
            "{:#?}\n{access:#?}\nlimits: {limits:#?}",
            settings.args
        ))
    };
    resolve().map_err(|error: CommandError| error.to_string())
}

/// Runs a command that is no server.
fn run_and_end(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Check(args) => check::run(&args.config),
        Command::Token(command) => command.run(),
        // `Invocation::Serve` stands for it.
        Command::Serve(_) => Ok(()),
    }
}
