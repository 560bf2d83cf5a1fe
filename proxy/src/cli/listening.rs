//! Where the server listens, and what it needs to listen where other machines can reach it.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use super::CommandError;
use super::address::first_beyond_loopback;
use super::args::ServeArgs;

/// Checks that everything is there that listening on these addresses needs.
pub(super) fn check(
    addresses: &[SocketAddr],
    args: &ServeArgs,
    has_policy: bool,
) -> Result<(), CommandError> {
    let Some(address) = first_beyond_loopback(addresses) else {
        return Ok(());
    };
    let missing = [
        (
            has_policy,
            "authentication (a settings file with [auth]: --config)",
        ),
        (
            has_tls(args),
            "TLS (--tls-certificate and --tls-key, or a proxy in front that terminates it: \
             --behind-tls-proxy)",
        ),
    ];
    let missing: Vec<_> = missing
        .into_iter()
        .filter_map(|(is_there, what)| (!is_there).then_some(what))
        .collect();
    if missing.is_empty() || args.insecure {
        return Ok(());
    }
    Err(CommandError::usage(format_args!(
        "refusing to listen on {address}, which other machines can reach; missing: {}; add it, or \
         listen on 127.0.0.1, or accept the risk with --insecure",
        missing.join(" and ")
    )))
}

/// Returns whether clients reach the server over TLS.
fn has_tls(args: &ServeArgs) -> bool {
    args.behind_tls_proxy || args.tls_certificate.is_some()
}

/// Logs at every start with `--insecure` that it is on.
pub(super) fn warn_if_insecure(args: &ServeArgs, has_policy: bool) {
    if args.insecure {
        tracing::warn!(
            authentication = has_policy,
            tls = has_tls(args),
            "--insecure: whoever reaches {} may use this server without authentication or TLS; \
             for laboratories only",
            args.listen
        );
    }
}

/// Resolves the address of a flag.
pub(super) async fn resolve(flag: &str, listen: &str) -> Result<Vec<SocketAddr>, CommandError> {
    let resolved = tokio::net::lookup_host(listen).await;
    some(flag, listen, resolved.map(Iterator::collect))
}

/// Resolves the address of a flag, and blocks meanwhile.
pub(super) fn resolve_now(flag: &str, listen: &str) -> Result<Vec<SocketAddr>, CommandError> {
    some(
        flag,
        listen,
        listen.to_socket_addrs().map(Iterator::collect),
    )
}

fn some(
    flag: &str,
    listen: &str,
    resolved: io::Result<Vec<SocketAddr>>,
) -> Result<Vec<SocketAddr>, CommandError> {
    let invalid = |why: &dyn std::fmt::Display| {
        CommandError::usage(format_args!(
            "invalid {flag} '{listen}': {why}; give a host and a port, such as {flag} \
             127.0.0.1:8080"
        ))
    };
    let addresses = resolved.map_err(|error| invalid(&error))?;
    if addresses.is_empty() {
        Err(invalid(&"no such host"))
    } else {
        Ok(addresses)
    }
}

/// Returns why the address of a flag cannot be listened on, and what to do.
pub(super) fn cannot_listen(flag: &str, listen: &str, error: &io::Error) -> CommandError {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "address already in use; stop the program that listens there, or choose another port \
             with "
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied; ports below 1024 need privileges, choose a higher one with "
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose one of its own with "
        }
        _ => return CommandError::runtime(format_args!("cannot listen on {listen}: {error}")),
    };
    CommandError::runtime(format_args!("cannot listen on {listen}: {why}{flag}"))
}
