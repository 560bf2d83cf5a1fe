//! The live demo.

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;

use crate::command::{announce, command, line, run as run_command};
use crate::setup::{self, Purpose};
use crate::{wasm, workspace};

/// Options of the demo.
#[derive(Args)]
pub(crate) struct Options {
    /// Redis URL, such as redis://127.0.0.1:6379; without it, streams are kept in memory
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Address to listen on
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Build the proxy with optimizations, which takes longer
    #[arg(long)]
    release: bool,
}

/// Installs what is missing, builds, and replaces this process with the proxy.
///
/// # Errors
///
/// The address is taken, or a step failed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    // Before the build, which takes minutes.
    check_free(&options.listen)?;
    setup::run(Purpose::Demo)?;
    wasm::page()?;
    let program = build_proxy(options.release)?;
    let mut proxy = command(program);
    proxy
        .args(["serve", "--listen", &options.listen])
        .env("STREAMGATE_WWW", workspace::www());
    if let Some(url) = &options.redis {
        proxy.args(["--redis", url]);
    }
    announce(&format!("starting; {}", invitation(&options.listen)));
    Err(replace(&mut proxy)).with_context(|| format!("cannot start `{}`", line(&proxy)))
}

fn check_free(address: &str) -> anyhow::Result<()> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => bail!(
            "cannot listen on {address}: the port is in use; choose another with --listen {}:PORT",
            address.rsplit_once(':').map_or(address, |(host, _)| host)
        ),
        Err(error) => Err(error).with_context(|| format!("cannot listen on {address}")),
    }
}

fn build_proxy(release: bool) -> anyhow::Result<PathBuf> {
    announce("building the proxy");
    let mut cargo = command("cargo");
    cargo.args(["build", "-p", "streamgate", "--bin", "streamgate"]);
    if release {
        cargo.arg("--release");
    }
    run_command(&mut cargo, "the compiler's message says why")?;
    Ok(if release {
        workspace::optimized("streamgate")
    } else {
        workspace::binary("streamgate")
    })
}

fn invitation(address: &str) -> String {
    if address.ends_with(":0") {
        "open the address it prints (ctrl-c ends it)".to_owned()
    } else {
        format!("open http://{address}/ (ctrl-c ends it)")
    }
}

/// Replaces this process with the proxy, so that signals reach it.
#[cfg(unix)]
fn replace(proxy: &mut Command) -> io::Error {
    std::os::unix::process::CommandExt::exec(proxy)
}

#[cfg(not(unix))]
fn replace(proxy: &mut Command) -> io::Error {
    match proxy.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_said_in_one_line() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let text = check_free(&address).unwrap_err().to_string();
        assert!(
            text.contains(&address) && text.contains("--listen"),
            "{text}"
        );
        assert!(!text.contains('\n'), "{text}");
        drop(listener);
        check_free(&address).unwrap();
    }

    #[test]
    fn the_address_is_named_when_it_is_known() {
        assert!(invitation("127.0.0.1:8080").contains("http://127.0.0.1:8080/"));
        assert!(invitation("127.0.0.1:0").contains("it prints"));
    }
}
