//! `streamgate token mint`: signs a token with a secret of the settings file.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Map, Value, json};
use streamgate::RevokedTokens;

use crate::cli::CommandError;
use crate::cli::settings::{Access, Secret, load_access};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct MintArgs {
    /// The settings file
    #[arg(long, env = "STREAMGATE_CONFIG", value_name = "FILE")]
    config: PathBuf,

    /// Whom the token names (`sub`)
    #[arg(long, value_name = "NAME")]
    subject: String,

    /// Role of the subject; may be repeated
    #[arg(long, value_name = "NAME", required = true)]
    role: Vec<String>,

    /// For how long the token is valid, such as 90s, 30m, 1h or 7d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_life)]
    life: Duration,

    /// Id of the key that signs [default: the first for HS256]
    #[arg(long, value_name = "ID")]
    key: Option<String>,
}

pub(super) fn run(args: &MintArgs) -> Result<(), CommandError> {
    let access = load_access(&args.config)?;
    let token = mint(args, &access, SystemTime::now()).map_err(CommandError::usage)?;
    // If stdout is closed, nobody wants the token.
    let _ = writeln!(io::stdout(), "{token}");
    Ok(())
}

fn mint(args: &MintArgs, access: &Access, now: SystemTime) -> Result<String, String> {
    let (id, secret) = signing_key(args, access)?;
    if let Some(unknown) = args
        .role
        .iter()
        .find(|role| !access.roles.contains_key(*role))
    {
        return Err(access.unknown_role(unknown));
    }
    if args.life > access.max_life {
        let max = access.max_life.as_secs();
        let why = "is longer than max_life_s";
        return Err(format!(
            "--life of {} s {why} ({max} s)",
            args.life.as_secs()
        ));
    }
    let issued_at = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), json!(args.subject));
    claims.insert("aud".to_owned(), json!(access.audience));
    if let Some(issuer) = &access.issuer {
        claims.insert("iss".to_owned(), json!(issuer));
    }
    claims.insert("iat".to_owned(), json!(issued_at));
    claims.insert("exp".to_owned(), json!(issued_at + args.life.as_secs()));
    // By this id the token can be revoked.
    claims.insert(
        "jti".to_owned(),
        json!(format!("{:016x}", fastrand::u64(..))),
    );
    claims.insert(access.roles_claim.clone(), json!(args.role));
    let mut header = Map::new();
    header.insert("alg".to_owned(), json!("HS256"));
    header.insert("typ".to_owned(), json!("JWT"));
    if let Some(id) = id {
        header.insert("kid".to_owned(), json!(id));
    }
    let token = sign(header, claims, secret);
    match access.policy.check_token(&token, &RevokedTokens::default()) {
        Ok(_) => Ok(token),
        Err(why) => Err(format!("this file would not accept the token: {why}")),
    }
}

/// Signs a token with HS256 (RFC 7515, section 5.1).
fn sign(header: Map<String, Value>, claims: Map<String, Value>, secret: &Secret) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let [header, claims] =
        [header, claims].map(|part| encode(Value::Object(part).to_string().as_bytes()));
    let signed = format!("{header}.{claims}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", encode(signature.as_ref()))
}

fn signing_key<'a>(
    args: &MintArgs,
    access: &'a Access,
) -> Result<&'a (Option<String>, Secret), String> {
    let is_wanted = |id: &Option<String>| args.key.is_none() || *id == args.key;
    let key = access.secrets.iter().find(|(id, _)| is_wanted(id));
    key.ok_or_else(|| match &args.key {
        Some(id) => format!("[auth] has no key '{id}' for HS256; see [[auth.keys]]"),
        None => "[auth] has no key for HS256; tokens for the others come from their issuer; for \
                 development add [[auth.keys]] with algorithm = \"HS256\" and `secret_file`"
            .to_owned(),
    })
}

fn parse_life(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(life) if life >= Duration::from_secs(1) => Ok(life),
        Ok(_) => Err("it must be a second at least".to_owned()),
        Err(error) => Err(format!("{error}; write 90s, 30m, 1h or 7d")),
    }
}
