//! The package in an edge worker of a real workerd.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::bundle::bundle;
use super::control::Control;
use super::process::{ProcessGroup, node_module};
use super::script_client::ScriptClient;

/// Longest time from the start of workerd to a connected client; it takes about 1 s alone.
const PATIENCE: Duration = Duration::from_secs(60);

/// The newest behaviour that the pinned workerd knows.
const COMPATIBILITY_DATE: &str = "2026-11-01";

/// A workerd with one request under way. It ends when this is dropped.
#[derive(Debug)]
pub struct Workerd {
    // In this order: the request goes before the runtime, and that before what it uses.
    _request: TcpStream,
    _runtime: ProcessGroup,
    _control: Control,
    _folder: TempDir,
}

impl Workerd {
    /// Starts the runtime and the one request whose worker connects to the proxy: a client
    /// belongs to the request that made it, so that request lasts as long as the client.
    ///
    /// # Errors
    ///
    /// workerd or the package is missing (the message says how to get it), or it does not work.
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
        let mut runtime = ProcessGroup::spawn(&mut command, folder.path())?;
        let started = tokio::time::timeout(PATIENCE, async {
            let address = address(&mut runtime).await?;
            let mut request = ask(address, &control.query(proxy)).await?;
            tokio::select! {
                client = control.ready() => Ok((client?, request)),
                early = early_end(&mut request) => anyhow::bail!("the worker ended early: {early}"),
            }
        });
        let outcome = started.await.context("the worker is silent").flatten();
        let (client, request) =
            outcome.with_context(|| format!("workerd said:\n{}", runtime.output()))?;
        let kept = Self {
            _request: request,
            _runtime: runtime,
            _control: control,
            _folder: folder,
        };
        Ok((client, kept))
    }
}

/// A worker of the bundled script and the modules beside it, which may reach loopback.
fn configuration(folder: &Path) -> anyhow::Result<String> {
    let mut modules = String::new();
    writeln!(
        modules,
        r#"    (name = "worker.js", esModule = embed "worker.js"),"#
    )?;
    for file in std::fs::read_dir(folder)? {
        let name = file?.file_name();
        let name = name.to_str().context("a module's name is not text")?;
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

/// Where workerd listens: it says so in a line of JSON.
async fn address(runtime: &mut ProcessGroup) -> anyhow::Result<SocketAddr> {
    loop {
        runtime.check_running()?;
        for line in runtime.output().lines() {
            let event: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            if event["socket"] == "http"
                && let Some(port) = event["port"].as_u64()
            {
                return Ok((Ipv4Addr::LOCALHOST, u16::try_from(port)?).into());
            }
        }
        // Its log is a file, so there is no event to await.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ask(address: SocketAddr, query: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /?{query} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

async fn early_end(request: &mut TcpStream) -> String {
    let mut answer = vec![0; 64 * 1024];
    match request.read(&mut answer).await {
        Ok(read) => String::from_utf8_lossy(&answer[..read]).into_owned(),
        Err(error) => error.to_string(),
    }
}
