//! URLs of a master that Sentinels watch:
//! `redis+sentinel://[user:password@]host[:port],…/master[/database][?sentinel_user=…&sentinel_pass=…]`.

use std::fmt;

use redis::{ConnectionAddr, ConnectionInfo};
use streamgate_protocol::CacheResult;

use super::{RedisUrl, invalid, parse_plain};
use crate::connection::host_port::HostPort;
use crate::connection::tls;

/// Sentinels in a URL at most: to ask them takes a connection each.
const MAX_SENTINELS: usize = 16;

const PORT: u16 = 26_379;

const FORM: &str =
    "write it as redis+sentinel://[user:password@]host[:port],host[:port]/master[/database]";

/// What a URL says of Sentinels.
#[derive(Debug, Clone)]
pub(in crate::connection) struct SentinelUrl {
    pub(in crate::connection) addresses: Vec<HostPort>,
    /// The name under which they watch the master.
    pub(in crate::connection) master: String,
    pub(in crate::connection) sign_in: SentinelSignIn,
}

/// How to sign in to Sentinels, which have access lists of their own.
#[derive(Clone, Default)]
pub(in crate::connection) struct SentinelSignIn {
    pub(in crate::connection) username: Option<String>,
    pub(in crate::connection) password: Option<String>,
}

impl fmt::Debug for SentinelSignIn {
    /// Leaves out both.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentinelSignIn").finish_non_exhaustive()
    }
}

/// Returns what follows the scheme, and whether it is one of TLS; `None` for other schemes.
pub(super) fn after_scheme(url: &str) -> Option<(&str, bool)> {
    let (scheme, rest) = url.split_once("://")?;
    match scheme.to_ascii_lowercase().as_str() {
        "redis+sentinel" | "valkey+sentinel" => Some((rest, false)),
        "rediss+sentinel" | "valkeys+sentinel" => Some((rest, true)),
        _ => None,
    }
}

/// Parses what follows the scheme. redis-rs decodes the percent-encoded parts, put into URLs that it
/// knows.
pub(super) fn parse(rest: &str, is_tls: bool, url: &str) -> CacheResult<RedisUrl> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (master, database) = path.split_once('/').unwrap_or((path, ""));
    let (credentials, hosts) = match authority.rsplit_once('@') {
        Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
        None => (String::new(), authority),
    };
    let user = credentials.split(':').next().unwrap_or_default();
    if user.contains(',') {
        let why = format!("its user name has a comma, which separates Sentinels; {FORM}");
        return Err(invalid(url, &why));
    }
    if master.is_empty() {
        let why = format!("it does not name the master; {FORM}");
        return Err(invalid(url, &why));
    }
    let master = decode(master, url)?;
    let mut addresses = Vec::new();
    for host in hosts.split(',') {
        let address = address(host, url)?;
        if is_tls && tls::server_name(&address.host).is_none() {
            return Err(invalid(url, super::NO_CERTIFICATE));
        }
        addresses.push(address);
    }
    if addresses.len() > MAX_SENTINELS {
        let why = format!("it names more than {MAX_SENTINELS} Sentinels; a few are enough");
        return Err(invalid(url, &why));
    }
    let sign_in = sign_in(query, url)?;
    let info = parse_plain(&format!("redis://{credentials}master/{database}"), url)?;
    Ok(RedisUrl {
        info,
        is_tls,
        sentinels: Some(SentinelUrl {
            addresses,
            master,
            sign_in,
        }),
    })
}

fn address(host: &str, url: &str) -> CacheResult<HostPort> {
    let info = parse_plain(&format!("redis://{host}"), url)?;
    let after_brackets = host.rsplit(']').next().unwrap_or(host);
    match info.addr() {
        ConnectionAddr::Tcp(name, port) => Ok(HostPort {
            host: name.clone(),
            port: if after_brackets.contains(':') {
                *port
            } else {
                PORT
            },
        }),
        _ => Err(invalid(url, FORM)),
    }
}

fn sign_in(query: &str, url: &str) -> CacheResult<SentinelSignIn> {
    let mut sign_in = SentinelSignIn::default();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let field = match name {
            "sentinel_user" => &mut sign_in.username,
            "sentinel_pass" => &mut sign_in.password,
            _ => {
                let why = "its parameters are sentinel_user and sentinel_pass, and no other";
                return Err(invalid(url, why));
            }
        };
        *field = Some(decode(value, url)?);
    }
    if sign_in.username.is_some() && sign_in.password.is_none() {
        return Err(invalid(url, "sentinel_user needs sentinel_pass"));
    }
    Ok(sign_in)
}

/// Decodes a percent-encoded text, as redis-rs decodes a password.
fn decode(text: &str, url: &str) -> CacheResult<String> {
    let info: ConnectionInfo = parse_plain(&format!("redis://:{text}@host"), url)?;
    let decoded = info.redis_settings().password();
    let decoded = decoded.filter(|decoded| !decoded.is_empty());
    decoded
        .map(str::to_owned)
        .ok_or_else(|| invalid(url, "a name or a password in it is empty or not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::super::{parse, without_secrets};

    #[test]
    fn a_url_names_sentinels_and_their_master() {
        for (url, address, is_tls) in [
            ("redis+sentinel://a/m", "m at a:26379", false),
            (
                "rediss+sentinel://a:1,b,[::1]:2,[::1]/or%20ders/7",
                "or ders at a:1,b:26379,[::1]:2,[::1]:26379",
                true,
            ),
            (
                "valkey+sentinel://ann:p%40w@a,b/m/3?sentinel_user=w&sentinel_pass=s%26p",
                "m at a:26379,b:26379",
                false,
            ),
        ] {
            let parsed = parse(url).unwrap();
            let sentinels = parsed.sentinels.unwrap();
            let addresses: Vec<_> = sentinels
                .addresses
                .iter()
                .map(|it| it.to_string())
                .collect();
            let master = sentinels.master;
            assert_eq!(format!("{master} at {}", addresses.join(",")), address);
            assert_eq!(parsed.is_tls, is_tls, "{url}");
        }
        let parsed = parse("redis+sentinel://ann:p%40w@a,b/m/3").unwrap();
        let settings = parsed.info.redis_settings();
        let signs_in = (settings.username(), settings.password(), settings.db());
        assert_eq!(signs_in, (Some("ann"), Some("p@w"), 3));
    }

    #[test]
    fn a_mistake_is_named_and_no_secret_with_it() {
        let many = format!("redis+sentinel://{}/m", ["a"; 17].join(","));
        for (url, why) in [
            ("redis+sentinel://a,b", "does not name the master"),
            ("redis+sentinel://a,b/", "does not name the master"),
            ("redis+sentinel:///m", "write it as"),
            ("redis+sentinel://a,,b/m", "write it as"),
            ("redis+sentinel://a:port/m", "write it as"),
            ("redis+sentinel://a/m/first", "write it as"),
            ("redis+sentinel://a/m?user=hunter2", "parameters"),
            ("redis+sentinel://a/m?sentinel_user=ann", "sentinel_pass"),
            ("redis+sentinel://a/m?sentinel_pass=", "empty"),
            ("redis+sentinel://a,ann:hunter2@b/m", "comma"),
            (many.as_str(), "more than 16"),
            ("redis+sentinel://ann:hunter2@a,b", "'redis+sentinel://a,b'"),
        ] {
            let error = parse(url).map(drop).unwrap_err();
            let text = error.to_string();
            assert_eq!(error.code(), "CONFIG");
            assert!(text.contains(why), "{url}: {text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        let url = "rediss+sentinel://ann:secret@a:1,b,c/m/2?sentinel_pass=secret";
        assert_eq!(without_secrets(url), "rediss+sentinel://a:1,b,c/m/2");
    }
}
