//! The limit on open files: raised as far as the system allows, and obeyed.
//!
//! Every connection is an open file, and a response that is a file of `--www` is another one. A server that reaches the limit could accept nobody, not even
//! to say so. So its bounds on connections stay below it.

use streamgate::Config;

/// Files for everything that is no connection of a client: Redis, the admin listener, the runtime.
const RESERVED_FILES: u64 = 64;

/// Least number of files with which the server can serve anybody.
const MIN_CONNECTIONS: u64 = 8;

/// Raises the soft limit to the hard one, and returns it; `None` if there is none.
#[cfg(unix)]
pub(super) fn raise() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit on open files");
            limit.current
        }
    }
}

/// Returns `None`: this system has no such limit.
#[cfg(not(unix))]
pub(super) fn raise() -> Option<u64> {
    None
}

/// Lowers the bounds on connections if the limit on open files is too low for them.
pub(super) fn fit(mut config: Config, limit: Option<u64>) -> Config {
    let Some(limit) = limit else {
        return config;
    };
    let free = limit.saturating_sub(RESERVED_FILES).max(MIN_CONNECTIONS);
    // A connection that is no socket may be sent a file.
    let files_per_handshake = if config.www.is_some() { 2 } else { 1 };
    let files_of = |handshakes: u32| u64::from(handshakes) * files_per_handshake;
    let max_sockets = config.socket_limit();
    let wanted = u64::from(max_sockets) + files_of(config.max_handshakes);
    if wanted <= free {
        return config;
    }
    // Handshakes are short: a quarter is enough for them.
    let lower = |bound: u32, max: u64| u32::try_from(max).map_or(bound, |max| bound.min(max));
    let most_handshakes = (free / 4 / files_per_handshake).max(1);
    config.max_handshakes = lower(config.max_handshakes, most_handshakes);
    let max_sockets = lower(max_sockets, free - files_of(config.max_handshakes));
    config.max_sockets = Some(max_sockets);
    tracing::warn!(
        limit,
        max_sockets,
        max_handshakes = config.max_handshakes,
        "bounds lowered: the limit on open files is too low for them; raise it (ulimit -n)"
    );
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_fit_into_the_limit() {
        let config = || Config::default().max_sockets(10_000).max_handshakes(1_000);
        let bounds = |limit| {
            let config = fit(config(), limit);
            (config.socket_limit(), config.max_handshakes)
        };
        assert_eq!(bounds(None), (10_000, 1_000));
        assert_eq!(bounds(Some(1 << 20)), (10_000, 1_000));
        assert_eq!(bounds(Some(11_064)), (10_000, 1_000));
        assert_eq!(bounds(Some(11_063)), (9_999, 1_000));
        assert_eq!(bounds(Some(1_024)), (720, 240));
        assert_eq!(bounds(Some(10)), (6, 2));
    }

    #[test]
    fn a_download_takes_two_files() {
        let config = || Config::default().max_sockets(10_000).max_handshakes(1_000);
        let bounds = |limit| {
            let config = fit(config().www("www"), Some(limit));
            (config.socket_limit(), config.max_handshakes)
        };
        assert_eq!(bounds(12_064), (10_000, 1_000));
        assert_eq!(bounds(12_063), (9_999, 1_000));
        assert_eq!(bounds(1_024), (720, 120));
        assert_eq!(bounds(10), (6, 1));
    }
}
