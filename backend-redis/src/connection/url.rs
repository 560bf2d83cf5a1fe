//! Redis URLs, and errors about them that hold no password.
//!
//! redis-rs parses them, which knows no TLS here: the connections are made in this crate.

mod sentinel_url;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use streamgate_protocol::{CacheError, CacheResult};

use crate::connection::tls;

pub(super) use sentinel_url::{SentinelSignIn, SentinelUrl};

const NO_CERTIFICATE: &str = "no certificate can have this name of a host";

/// Where Redis is, and how to sign in.
#[derive(Clone)]
pub(super) struct RedisUrl {
    /// Its address is that of a Redis only if there are no Sentinels.
    pub(super) info: ConnectionInfo,
    pub(super) is_tls: bool,
    pub(super) sentinels: Option<SentinelUrl>,
}

/// Parses a URL: `redis://[user:password@]host[:port][/database]`, `rediss://…` for TLS, or
/// `unix:///path?user=…&pass=…&db=…`, or `redis+sentinel://…`. Each scheme has its counterpart of
/// Valkey.
///
/// # Errors
///
/// `CONFIG`, with the mistake and a correct form.
pub(super) fn parse(url: &str) -> CacheResult<RedisUrl> {
    if let Some((rest, is_tls)) = sentinel_url::after_scheme(url) {
        no_fragment(rest, url)?;
        return sentinel_url::parse(rest, is_tls, url);
    }
    let Some(rest) = after_tls_scheme(url) else {
        return Ok(RedisUrl {
            info: parse_plain(url, url)?,
            is_tls: false,
            sentinels: None,
        });
    };
    no_fragment(rest, url)?;
    let info = parse_plain(&format!("redis://{rest}"), url)?;
    let ConnectionAddr::Tcp(host, _) = info.addr() else {
        return Err(invalid(url, "missing host"));
    };
    if tls::server_name(host).is_none() {
        return Err(invalid(url, NO_CERTIFICATE));
    }
    Ok(RedisUrl {
        info,
        is_tls: true,
        sentinels: None,
    })
}

/// Refuses what would turn the check of certificates off in redis-rs.
fn no_fragment(rest: &str, url: &str) -> CacheResult<()> {
    if rest.contains('#') {
        let why = "certificates are always checked: remove what follows '#', and write a '#' of a \
                   password as %23";
        return Err(invalid(url, why));
    }
    Ok(())
}

/// Returns what follows the scheme, if that is one of TLS.
fn after_tls_scheme(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let is_tls = ["rediss", "valkeys"]
        .iter()
        .any(|tls| scheme.eq_ignore_ascii_case(tls));
    is_tls.then_some(rest)
}

/// Parses `plain`; errors are about `url`.
fn parse_plain(plain: &str, url: &str) -> CacheResult<ConnectionInfo> {
    plain.into_connection_info().map_err(|error| {
        if !url.contains("://") {
            let host = match without_secrets(url) {
                host if host.is_empty() => "127.0.0.1:6379".to_owned(),
                host => host,
            };
            return invalid(url, &format!("missing scheme; try redis://{host}"));
        }
        // redis-rs says of all but a few mistakes only that it cannot parse the URL.
        let why = error.detail().unwrap_or_default();
        let why = if why.is_empty() {
            error.to_string()
        } else {
            why.to_owned()
        };
        let expected = "write it as redis://[user:password@]host[:port][/database], with rediss:// \
                        for TLS, as unix:///path?user=…&pass=…&db=…, or as \
                        redis+sentinel://host,host/master";
        invalid(url, &format!("{why}; {expected}"))
    })
}

pub(super) fn invalid(url: &str, why: &str) -> CacheError {
    CacheError::ConfigError(format!(
        "invalid Redis URL '{}': {why}",
        without_secrets(url)
    ))
}

/// Returns a Redis URL without user name, password and parameters, each of which may be a secret.
///
/// Everything before the last `@` counts as secret: a password that should have been
/// percent-encoded may contain any character.
pub fn without_secrets(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, url),
    };
    let has_query =
        scheme.is_some_and(|scheme| scheme.contains("sentinel") || scheme.contains("unix"));
    let rest = match rest.split_once('?') {
        // It may be of a password before or after the question mark.
        Some((_, query)) if has_query && query.contains('@') => "",
        _ => rest,
    };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.split(['?', '#']).next().unwrap_or_default();
    let host = without_odd_port(host);
    match scheme {
        Some(scheme) => format!("{scheme}://{host}"),
        None => host.to_owned(),
    }
}

/// Cuts off what follows the last `:` unless it is a port: in `redis://:secret` it is a password
/// whose host is missing.
fn without_odd_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(']') || !port.is_empty() => {
            let number = port.split(['/', ',']).next().unwrap_or_default();
            let is_port = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            // Inside the brackets of an IPv6 address there is no port.
            if is_port || port.ends_with(']') {
                host
            } else {
                name
            }
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> String {
        let error = parse(url).map(drop).unwrap_err();
        assert_eq!(error.code(), "CONFIG");
        error.message().to_owned()
    }

    #[test]
    fn an_error_says_what_is_wrong_and_what_to_write() {
        assert_eq!(
            error("127.0.0.1:6379"),
            "invalid Redis URL '127.0.0.1:6379': missing scheme; try redis://127.0.0.1:6379"
        );
        assert_eq!(
            error(""),
            "invalid Redis URL '': missing scheme; try redis://127.0.0.1:6379"
        );
        for url in [
            "http://127.0.0.1",
            "redis://127.0.0.1:port",
            "redis://host/first",
        ] {
            let error = error(url);
            let shown = url.trim_end_matches(":port");
            assert!(error.contains(&format!("'{shown}'")), "{error}");
            assert!(error.contains("write it as redis://"), "{error}");
        }
    }

    #[test]
    fn schemes_say_whether_and_how_to_connect() {
        for (url, address, is_tls) in [
            ("redis://h:1/2", "h:1", false),
            ("valkey://h", "h:6379", false),
            ("rediss://h:1", "h:1", true),
            ("REDISS://127.0.0.1", "127.0.0.1:6379", true),
            ("valkeys://[::1]:1", "::1:1", true),
            ("unix:///run/r.sock?db=3", "/run/r.sock", false),
            ("redis+unix:///run/r.sock", "/run/r.sock", false),
            ("valkey+unix:///run/r.sock", "/run/r.sock", false),
        ] {
            let parsed = parse(url).unwrap();
            assert_eq!(parsed.info.addr().to_string(), address, "{url}");
            assert_eq!(parsed.is_tls, is_tls, "{url}");
            assert!(parsed.sentinels.is_none(), "{url}");
        }
        let parsed = parse("rediss://ann:p%23w@h/7").unwrap();
        let settings = parsed.info.redis_settings();
        let signs_in = (settings.username(), settings.password(), settings.db());
        assert_eq!(signs_in, (Some("ann"), Some("p#w"), 7));
        let parsed = parse("unix:///run/r.sock?user=ann&pass=p%26w&db=7").unwrap();
        let settings = parsed.info.redis_settings();
        let signs_in = (settings.username(), settings.password(), settings.db());
        assert_eq!(signs_in, (Some("ann"), Some("p&w"), 7));
    }

    #[test]
    fn no_url_turns_the_check_of_certificates_off() {
        for url in [
            "rediss://h#insecure",
            "rediss://h/#insecure",
            "valkeys://h/0#",
        ] {
            assert!(error(url).contains("always checked"), "{}", error(url));
        }
    }

    #[test]
    fn an_error_never_repeats_a_password() {
        for url in [
            "redis://ann:hunter2@host:port",
            "redis://ann:hun@ter2@host:port",
            "redis://ann:hunter2/?#@host:port",
            "ann:hunter2@host",
            "http://host/?password=hunter2",
            "redis+unix:///run/redis.sock?pass=hunter2&db=first",
            "rediss://ann:hunter2@host:port",
            "rediss://ann:hunter2@host/#insecure",
        ] {
            let error = error(url);
            assert!(!error.contains("ter2"), "{error}");
            assert!(!error.contains("hun"), "{error}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://:secret@host:6379/2", "redis://host:6379/2"),
            ("rediss://user:secret@host", "rediss://host"),
            ("redis://user:se/cr@et@host:1/0", "redis://host:1/0"),
            ("redis://user:se?cr#et@host", "redis://host"),
            ("redis://host?password=secret", "redis://host"),
            ("user:secret@host", "host"),
            ("redis://:secret", "redis://"),
            ("redis://user:secret", "redis://user"),
            ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
            ("redis://[::1]", "redis://[::1]"),
            (
                "unix:///run/redis.sock?pass=secret",
                "unix:///run/redis.sock",
            ),
            ("unix:///run/redis.sock?pass=sec@ret", "unix://"),
            (
                "redis+sentinel://a,b/m?sentinel_pass=sec@ret",
                "redis+sentinel://",
            ),
            ("redis+sentinel://ann:se?cr@et@a,b/m", "redis+sentinel://"),
        ];
        for (url, expected) in shown {
            assert_eq!(without_secrets(url), expected);
        }
    }
}
