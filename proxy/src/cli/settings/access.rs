//! From `[auth]` and `[roles]` to the policy of a server.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use streamgate::{
    Algorithm, AuthPolicy, DEFAULT_MAX_LIFE, DEFAULT_ROLES_CLAIM, JwksSource, KeySet, Role,
    VerificationKey,
};
use toml::Spanned;

use super::SettingsError;
use super::auth_section::{AuthSection, JwksSection, KeySection, RevocationSection};
use super::document::Document;
use super::inputs::{FileStamp, Inputs};
use super::revoked_file::RevokedFile;
use super::secret::Secret;
use super::static_token::{static_tokens, unknown_role};

/// Bounds of `leeway_s`: clocks that differ by more than five minutes are broken.
const LEEWAY_SECONDS: RangeInclusive<u64> = 0..=300;

/// Bounds of `max_life_s`, up to a year. A larger value has the wrong unit.
const LIFE_SECONDS: RangeInclusive<u64> = 1..=366 * 24 * 60 * 60;

/// What the keys of the server itself begin with: every client is refused them.
const SERVER_KEYS: &str = "streamgate:";

/// Who may use the server, and what for.
#[derive(Debug)]
pub(in crate::cli) struct Access {
    pub(in crate::cli) policy: AuthPolicy,
    pub(in crate::cli) roles: BTreeMap<String, Role>,
    pub(in crate::cli) audience: Option<String>,
    pub(in crate::cli) issuer: Option<String>,
    pub(in crate::cli) max_life: Duration,
    pub(in crate::cli) roles_claim: String,
    /// The keys that verify tokens: id and algorithm.
    pub(in crate::cli) keys: Vec<(Option<String>, Algorithm)>,
    /// Where further keys are fetched.
    pub(in crate::cli) jwks_url: Option<String>,
    /// The keys among them that can sign tokens too.
    pub(in crate::cli) secrets: Vec<(Option<String>, Secret)>,
    pub(in crate::cli) anonymous: Option<String>,
    /// The subjects of static tokens, and their roles.
    pub(in crate::cli) machines: Vec<(String, Vec<String>)>,
    pub(in crate::cli) revoked: Option<RevokedFile>,
    /// The hash of Redis with further revocations.
    pub(in crate::cli) revoked_key: Option<String>,
}

impl Access {
    pub(super) fn new(
        section: AuthSection,
        roles: BTreeMap<String, Role>,
        document: &Document<'_>,
        inputs: &mut Inputs,
    ) -> Result<Self, SettingsError> {
        let mut secrets = Vec::new();
        let mut keys = Vec::new();
        for section in section.keys {
            keys.push(key(document, section, inputs, &mut secrets)?);
        }
        let span = section.jwks.as_ref().map(Spanned::span);
        let mut source = None;
        match section.jwks.map(|section| jwks(document, section, inputs)) {
            Some(Ok(Jwks::Keys(set))) => keys.extend(set),
            Some(Ok(Jwks::Source(of_url))) => source = Some(of_url),
            Some(Err(error)) => return Err(error),
            None => {}
        }
        let has_keys = !keys.is_empty() || source.is_some();
        let named_keys = keys
            .iter()
            .map(|key| (key.id().map(str::to_owned), key.algorithm()))
            .collect();
        let keys = KeySet::new(keys).map_err(|why| {
            document.error_at(&span.unwrap_or_default(), format_args!("keys: {why}"))
        })?;
        let tokens = static_tokens(document, section.static_tokens, &roles)?;
        let max_life = seconds(document, "max_life_s", section.max_life_s, &LIFE_SECONDS)?;
        let leeway = seconds(document, "leeway_s", section.leeway_s, &LEEWAY_SECONDS)?;
        let roles_claim = section
            .roles_claim
            .unwrap_or_else(|| DEFAULT_ROLES_CLAIM.to_owned());
        if !has_keys && tokens.is_empty() && section.anonymous.is_none() {
            let why = "[auth] admits nobody; add [[auth.keys]], [auth.jwks], \
                       [[auth.static_tokens]] or `anonymous`";
            return Err(document.error(why));
        }

        let mut policy = AuthPolicy::new().roles_claim(&roles_claim);
        if has_keys {
            let audience = section.audience.as_ref().ok_or_else(|| {
                document.error(
                    "[auth] has keys and no `audience`; without it, this server would accept \
                     tokens that were issued for another one",
                )
            })?;
            policy = policy.keys(keys, audience);
            if let Some(source) = &source {
                policy = policy.jwks(source.clone(), audience);
            }
        }
        let machines = tokens
            .iter()
            .map(|token| (token.subject.clone(), token.roles.clone()))
            .collect();
        policy = policy.static_tokens(tokens);
        if let Some(issuer) = &section.issuer {
            policy = policy.issuer(issuer);
        }
        if let Some(leeway) = leeway {
            policy = policy.leeway(leeway);
        }
        if let Some(max_life) = max_life {
            policy = policy.max_life(max_life);
        }
        for (name, role) in &roles {
            policy = policy.role(name, role.clone());
        }
        let anonymous = match section.anonymous {
            Some(role) if !roles.contains_key(role.get_ref()) => {
                let why = unknown_role(role.get_ref(), &roles);
                return Err(document.error_at(&role.span(), why));
            }
            anonymous => anonymous.map(Spanned::into_inner),
        };
        if let Some(role) = &anonymous {
            policy = policy.anonymous(role);
        }
        let (revoked, revoked_key) = match section.revocation {
            Some(section) => revocation(document, section, inputs)?,
            None => (None, None),
        };
        Ok(Self {
            policy,
            roles,
            audience: section.audience,
            issuer: section.issuer,
            max_life: max_life.unwrap_or(DEFAULT_MAX_LIFE),
            roles_claim,
            keys: named_keys,
            jwks_url: source.map(|source| source.url()),
            secrets,
            anonymous,
            machines,
            revoked,
            revoked_key,
        })
    }
}

impl Access {
    /// Returns why a role cannot be used.
    pub(in crate::cli) fn unknown_role(&self, name: &str) -> String {
        unknown_role(name, &self.roles)
    }
}

fn revocation(
    document: &Document<'_>,
    section: Spanned<RevocationSection>,
    inputs: &mut Inputs,
) -> Result<(Option<RevokedFile>, Option<String>), SettingsError> {
    let span = section.span();
    let RevocationSection { file, redis_key } = section.into_inner();
    if file.is_none() && redis_key.is_none() {
        let why = "[auth.revocation] needs `file` or `redis_key`";
        return Err(document.error_at(&span, why));
    }
    if let Some(key) = &redis_key
        && !key.starts_with(SERVER_KEYS)
    {
        let why = format!(
            "invalid redis_key '{key}': it must begin with '{SERVER_KEYS}', because clients may \
             write other keys"
        );
        return Err(document.error_at(&span, why));
    }
    let revoked = match file {
        Some(file) => {
            let path = document.resolve(&file);
            let stamp = FileStamp::of(&path);
            // Once it is mended, all is read again.
            let loaded = RevokedFile::load(&path);
            Some(loaded.inspect_err(|_| inputs.watch(&path, stamp))?)
        }
        None => None,
    };
    Ok((revoked, redis_key))
}

fn seconds(
    document: &Document<'_>,
    name: &str,
    value: Option<Spanned<u64>>,
    allowed: &RangeInclusive<u64>,
) -> Result<Option<Duration>, SettingsError> {
    let Some(value) = value else { return Ok(None) };
    let seconds = *value.get_ref();
    if !allowed.contains(&seconds) {
        let (min, max) = (allowed.start(), allowed.end());
        let why = format!("invalid {name} {seconds}: it must be {min} at least and {max} at most");
        return Err(document.error_at(&value.span(), why));
    }
    Ok(Some(Duration::from_secs(seconds)))
}

fn key(
    document: &Document<'_>,
    section: Spanned<KeySection>,
    inputs: &mut Inputs,
    secrets: &mut Vec<(Option<String>, Secret)>,
) -> Result<VerificationKey, SettingsError> {
    let span = section.span();
    let invalid = |why: &dyn std::fmt::Display| document.error_at(&span, why);
    let section = section.into_inner();
    if section.secret.is_some() {
        return Err(invalid(
            &"`secret` is refused: this file is read, copied and committed by many; keep the \
              secret in a file of its own (`secret_file`) or in the environment (`secret_env`)",
        ));
    }
    let algorithm: Algorithm = section.algorithm.parse().map_err(|why| invalid(&why))?;
    let secret = match (section.file, section.secret_file, section.secret_env) {
        (Some(file), None, None) if algorithm != Algorithm::Hs256 => {
            let path = document.resolve(&file);
            let pem = document.read(inputs, &path, &span)?;
            let key = VerificationKey::from_pem(section.id, algorithm, &pem);
            return key.map_err(|why| invalid(&format_args!("'{}': {why}", path.display())));
        }
        (None, Some(file), None) if algorithm == Algorithm::Hs256 => {
            Secret::from_file(&file, inputs, document, &span)?
        }
        (None, None, Some(name)) if algorithm == Algorithm::Hs256 => {
            Secret::from_env(&name, document, &span)?
        }
        _ if algorithm == Algorithm::Hs256 => {
            let why = "a key for HS256 needs `secret_file` or `secret_env`, and no other source";
            return Err(invalid(&why));
        }
        _ => {
            let why = "needs `file`, the PEM of its public key, and no other source";
            return Err(invalid(&format_args!("a key for {algorithm} {why}")));
        }
    };
    let key = VerificationKey::from_secret(section.id.clone(), secret.as_bytes())
        .map_err(|why| invalid(&why))?;
    secrets.push((section.id, secret));
    Ok(key)
}

/// What `[auth.jwks]` names.
enum Jwks {
    Keys(KeySet),
    Source(JwksSource),
}

fn jwks(
    document: &Document<'_>,
    section: Spanned<JwksSection>,
    inputs: &mut Inputs,
) -> Result<Jwks, SettingsError> {
    let span = section.span();
    let invalid = |why: &dyn std::fmt::Display| document.error_at(&span, why);
    let section = section.into_inner();
    match (section.file, section.url, section.ca_file) {
        (Some(file), None, None) => {
            let path = document.resolve(&file);
            let json = document.read(inputs, &path, &span)?;
            let keys = KeySet::from_jwks(&json);
            let keys = keys.map_err(|why| invalid(&format_args!("'{}': {why}", path.display())));
            Ok(Jwks::Keys(keys?))
        }
        (None, Some(url), ca_file) => {
            let source = JwksSource::new(&url).map_err(|why| invalid(&why))?;
            let Some(file) = ca_file else {
                return Ok(Jwks::Source(source));
            };
            let path = document.resolve(&file);
            let pem = document.read(inputs, &path, &span)?;
            let source = source.extra_ca(&pem);
            let source =
                source.map_err(|why| invalid(&format_args!("'{}': {why}", path.display())));
            Ok(Jwks::Source(source?))
        }
        _ => Err(invalid(
            &"[auth.jwks] needs `file`, or `url` and perhaps `ca_file`",
        )),
    }
}
