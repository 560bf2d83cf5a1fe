//! `streamgate token`: tokens for development, and what a token says.

mod hash;
mod inspect;
mod mint;

use std::io::{self, Read};

use clap::Subcommand;

pub(super) use self::inspect::InspectArgs;
pub(super) use self::mint::MintArgs;
use super::CommandError;

/// Most bytes that are read of standard input.
const MAX_INPUT_BYTES: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Sign a token with an HS256 key of the settings file, for development
    ///
    /// In production an issuer signs tokens, and the server has its public key.
    Mint(MintArgs),

    /// Show what a token says, and whether a settings file accepts it
    ///
    /// Exit code 1 if it does not. The signature is not shown.
    Inspect(InspectArgs),

    /// Read a static token from standard input, and print its hash for `sha256`
    ///
    /// For example: openssl rand -base64 32 | tee ci.token | streamgate token hash
    Hash,
}

impl TokenCommand {
    pub(super) fn run(self) -> Result<(), CommandError> {
        match self {
            Self::Mint(args) => mint::run(&args),
            Self::Inspect(args) => inspect::run(&args),
            Self::Hash => hash::run(),
        }
    }
}

/// Reads a token from standard input, without the line's end.
fn read_token() -> Result<String, CommandError> {
    let mut text = String::new();
    io::stdin()
        .take(MAX_INPUT_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| {
            CommandError::runtime(format_args!("cannot read standard input: {error}"))
        })?;
    let token = text.trim_end_matches(['\r', '\n']);
    if token.is_empty() {
        let why = "no token on standard input; try: printf %s \"$TOKEN\" | streamgate token hash";
        return Err(CommandError::usage(why));
    }
    Ok(token.to_owned())
}
