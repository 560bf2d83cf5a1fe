//! Parsing of the command line, with the settings file between the environment and the defaults.

use std::ffi::OsString;
use std::path::Path;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use super::CommandError;
use super::args::{Args, Command, ServeArgs};
use super::settings::{Inputs, Settings, with_defaults};

/// The arguments of `streamgate serve`, and the file that some came from.
#[derive(Debug)]
pub(super) struct ServeSettings {
    pub(super) args: Box<ServeArgs>,
    pub(super) file: Option<(Settings, Inputs)>,
}

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Invocation {
    Serve(Box<ServeSettings>),
    Other(Command),
}

/// Parses a command line. Returns `None` if it asks for help or the version, which this prints.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Option<Invocation>, CommandError> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let matches = match Args::command().try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            // If stdout is closed, the command succeeds all the same.
            let _ = error.print();
            return Ok(None);
        }
        Err(error) => return Err(CommandError::usage(one_line(&error))),
    };
    Ok(Some(match command(&matches)? {
        Command::Serve(args) => Invocation::Serve(Box::new(match args.config.clone() {
            Some(path) => with_file(&path, &arguments, &matches)?,
            None => ServeSettings { args, file: None },
        })),
        other => Invocation::Other(other),
    }))
}

/// Returns the settings that `streamgate serve` would have with this file.
pub(super) fn resolve(path: &Path) -> Result<ServeSettings, CommandError> {
    let arguments = ["streamgate", "serve", "--config"].map(OsString::from);
    let arguments: Vec<_> = arguments.into_iter().chain([path.into()]).collect();
    let matches = matches_of(Args::command(), &arguments)?;
    with_file(path, &arguments, &matches)
}

/// Returns the settings that `streamgate serve` would have with a file of this text.
#[cfg(feature = "fuzzing")]
pub(super) fn resolve_text(path: &Path, text: &str) -> Result<ServeSettings, CommandError> {
    let arguments = ["streamgate", "serve"].map(OsString::from);
    let matches = matches_of(Args::command(), &arguments)?;
    let mut inputs = Inputs::default();
    let settings = Settings::parse(path, text, &mut inputs).map_err(CommandError::usage)?;
    Ok(ServeSettings {
        args: with_settings(&settings, &arguments, &matches)?,
        file: Some((settings, inputs)),
    })
}

/// Parses the arguments again, with the values of the file as defaults.
fn with_file(
    path: &Path,
    arguments: &[OsString],
    matches: &ArgMatches,
) -> Result<ServeSettings, CommandError> {
    let mut inputs = Inputs::default();
    let settings = Settings::load(path, &mut inputs).map_err(CommandError::usage)?;
    Ok(ServeSettings {
        args: with_settings(&settings, arguments, matches)?,
        file: Some((settings, inputs)),
    })
}

/// Parses the arguments of this process again, with the values of a file as defaults.
pub(super) fn parse_again(settings: &Settings) -> Result<Box<ServeArgs>, CommandError> {
    let arguments: Vec<_> = std::env::args_os().collect();
    let matches = matches_of(Args::command(), &arguments)?;
    with_settings(settings, &arguments, &matches)
}

fn with_settings(
    settings: &Settings,
    arguments: &[OsString],
    matches: &ArgMatches,
) -> Result<Box<ServeArgs>, CommandError> {
    let is_given = |name: &str| {
        let serve = matches.subcommand_matches("serve");
        let source = serve.and_then(|serve| serve.value_source(name));
        source.is_some_and(|source| source != ValueSource::DefaultValue)
    };
    let with_file = Args::command().mut_subcommand("serve", |serve| {
        with_defaults(serve, &settings.flags, &is_given)
    });
    let matches = matches_of(with_file, arguments)?;
    match command(&matches)? {
        Command::Serve(args) => Ok(args),
        Command::Check(_) | Command::Token(_) => Err(CommandError::usage("not `serve`")),
    }
}

fn matches_of(command: clap::Command, arguments: &[OsString]) -> Result<ArgMatches, CommandError> {
    let matches = command.try_get_matches_from(arguments);
    matches.map_err(|error| CommandError::usage(one_line(&error)))
}

fn command(matches: &ArgMatches) -> Result<Command, CommandError> {
    match Args::from_arg_matches(matches) {
        Ok(args) => Ok(args.command),
        Err(error) => Err(CommandError::usage(one_line(&error))),
    }
}

/// Returns clap's message without the usage below it.
fn one_line(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no command given; try 'streamgate serve', or 'streamgate --help'".to_owned();
    }
    let text = error.render().to_string();
    let message = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<_> = message.split_whitespace().collect();
    let message = words.join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    format!("{message}; see --help")
}
