//! The npm package in an edge worker of a real workerd.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::ChildStdout;

use super::bundle::bundle;
use super::control::Control;
use super::process::{ProcessGroup, node_module};
use super::script_client::ScriptClient;

/// Longest time from the start of workerd to a connected client. Only a hang takes as long.
const START_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The newest compatibility date that the pinned workerd supports.
const COMPATIBILITY_DATE: &str = "2026-11-01";

/// A workerd with one request in flight. It ends when this is dropped.
#[derive(Debug)]
pub struct Workerd {
    // Dropped in this order: the request, the runtime, and then what it uses.
    _request: TcpStream,
    _runtime: ProcessGroup,
    // Kept open, because workerd may write to it.
    _events: Lines<BufReader<ChildStdout>>,
    _control: Control,
    _folder: TempDir,
}

impl Workerd {
    /// Starts the runtime and the one request whose worker connects to the proxy. A client belongs
    /// to the request that created it, so that request lasts as long as the client.
    ///
    /// # Errors
    ///
    /// workerd or the package is missing (the message says how to install it), or fails to start.
    pub async fn start(proxy: &str) -> anyhow::Result<(ScriptClient, Self)> {
        let binary = node_module(".bin/workerd")?;
        let folder = tempfile::Builder::new()
            .prefix("streamgate-workerd-")
            .tempdir()?;
        bundle("worker.mjs", "workerd,worker,browser", folder.path()).await?;
        let config = folder.path().join("config.capnp");
        std::fs::write(&config, configuration(folder.path())?)?;
        let mut control = Control::start(folder.path()).await?;
        let mut command = Command::new(binary);
        command.arg("serve").arg(&config).arg("--control-fd=1");
        let (mut runtime, stdout) = ProcessGroup::spawn_piped(&mut command, folder.path())?;
        let mut events = BufReader::new(stdout).lines();
        let started = tokio::time::timeout(START_TIMEOUT, async {
            let address = address(&mut events).await?;
            let mut request = send_request(address, &control.query(proxy)).await?;
            tokio::select! {
                client = control.ready() => Ok((client?, request)),
                early = response(&mut request) => anyhow::bail!("the worker ended early: {early}"),
            }
        });
        let outcome = started
            .await
            .context("the worker did not connect")
            .flatten();
        let (client, request) = outcome.with_context(|| {
            let status = runtime.check_running().err();
            let errors = runtime.output();
            format!("workerd: {status:?}; it printed:\n{errors}")
        })?;
        let kept = Self {
            _request: request,
            _runtime: runtime,
            _events: events,
            _control: control,
            _folder: folder,
        };
        Ok((client, kept))
    }
}

/// The configuration of a worker with the bundled script and its modules. It may reach loopback.
fn configuration(folder: &Path) -> anyhow::Result<String> {
    let mut modules = String::new();
    writeln!(
        modules,
        r#"    (name = "worker.js", esModule = embed "worker.js"),"#
    )?;
    for file in std::fs::read_dir(folder)? {
        let name = file?.file_name();
        let name = name.to_str().context("the name of a module is not UTF-8")?;
        if name.ends_with(".wasm") {
            writeln!(
                modules,
                r#"    (name = "./{name}", wasm = embed "{name}"),"#
            )?;
        }
    }
    Ok(format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  compatibilityDate = "{COMPATIBILITY_DATE}",
  modules = [
{modules}  ],
);
"#
    ))
}

/// Waits for the event, a line of JSON, by which workerd reports its address.
async fn address(events: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<SocketAddr> {
    while let Some(line) = events.next_line().await? {
        let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if event["socket"] == "http"
            && let Some(port) = event["port"].as_u64()
        {
            return Ok((Ipv4Addr::LOCALHOST, u16::try_from(port)?).into());
        }
    }
    anyhow::bail!("workerd ended before it listened")
}

async fn send_request(address: SocketAddr, query: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /?{query} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

async fn response(request: &mut TcpStream) -> String {
    let mut answer = vec![0; 64 * 1024];
    match request.read(&mut answer).await {
        Ok(read) => String::from_utf8_lossy(&answer[..read]).into_owned(),
        Err(error) => error.to_string(),
    }
}
