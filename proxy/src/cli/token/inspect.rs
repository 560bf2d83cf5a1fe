//! `streamgate token inspect`: what a token says, and whether a settings file accepts it.

use std::io::{self, Write};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use streamgate::RevokedTokens;

use super::read_token;
use crate::cli::CommandError;
use crate::cli::settings::load_access;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InspectArgs {
    /// The token, or `-` to read it from standard input
    token: Token,

    /// The settings file that has to accept it
    #[arg(long, env = "STREAMGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A token, which nothing shows.
#[derive(Clone)]
struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl From<&str> for Token {
    fn from(token: &str) -> Self {
        Self(token.to_owned())
    }
}

pub(super) fn run(args: &InspectArgs) -> Result<(), CommandError> {
    let token = match args.token.0.as_str() {
        "-" => read_token()?,
        token => token.to_owned(),
    };
    let access = args.config.as_deref().map(load_access).transpose()?;
    let parts = parts(&token);
    if parts.is_none() && access.is_none() {
        let why = "the token is no JWT; if it is a static token, name its file with --config";
        return Err(CommandError::usage(why));
    }
    let mut text = String::new();
    if let Some((header, claims)) = parts {
        text.push_str(&format!("header {header:#}\nclaims {claims:#}\n"));
    }
    let revoked_key = access
        .as_ref()
        .and_then(|access| access.revoked_key.clone());
    let verdict = access.map(|access| {
        let none = RevokedTokens::default();
        let revoked = access.revoked.as_ref().map(|file| &file.tokens);
        access.policy.check_token(&token, revoked.unwrap_or(&none))
    });
    if let Some(Ok(subject)) = &verdict {
        text.push_str(&format!("accepted: the subject is '{subject}'\n"));
        if let Some(key) = revoked_key {
            let note = "may be revoked all the same";
            text.push_str(&format!(
                "the Redis hash '{key}' is not read: the token {note}\n"
            ));
        }
    }
    // If stdout is closed, the exit code says it all the same.
    let _ = io::stdout().write_all(text.as_bytes());
    match verdict {
        Some(Err(why)) => Err(CommandError::runtime(format_args!("refused: {why}"))),
        _ => Ok(()),
    }
}

/// Returns the header and the claims of a JWT, which are not verified.
fn parts(token: &str) -> Option<(Value, Value)> {
    let mut parts = token.split('.');
    let mut json = || {
        let bytes = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    Some((json()?, json()?))
}
