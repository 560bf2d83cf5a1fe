//! The servers for the script in the runtime: its files over HTTP, and the control socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context as _;
use axum::Router;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tower_http::services::ServeDir;

use super::calls::Calls;
use super::message::{Command, Fault, Report, outcome};
use super::script_client::ScriptClient;

/// Longest message of the script: the longest answer of the largest case, escaped.
const MAX_MESSAGE_BYTES: usize = 256 * 1024 * 1024;

/// Maximum number of commands in one frame.
const MAX_COMMANDS: usize = 1_024;

type Ready = Result<ScriptClient, Fault>;

/// Two servers on loopback. They end when this is dropped.
#[derive(Debug)]
pub struct Control {
    files: SocketAddr,
    socket: SocketAddr,
    ready: mpsc::UnboundedReceiver<Ready>,
    _servers: JoinSet<()>,
}

impl Control {
    /// Serves a folder and a control socket, each on a free port of loopback.
    ///
    /// # Errors
    ///
    /// No port is free.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let files = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (files_at, socket_at) = (files.local_addr()?, socket.local_addr()?);
        let (report, ready) = mpsc::unbounded_channel();
        let router = Router::new().fallback_service(ServeDir::new(folder));
        let mut servers = JoinSet::new();
        // Both run until they are aborted.
        servers.spawn(async move { drop(axum::serve(files, router).await) });
        servers.spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                serve(stream, &report).await;
            }
        });
        Ok(Self {
            files: files_at,
            socket: socket_at,
            ready,
            _servers: servers,
        })
    }

    /// The address of a file of the folder, with the [query](Self::query) that its script reads.
    pub fn page(&self, file: &str, proxy: &str) -> String {
        format!("http://{}/{file}?{}", self.files, self.query(proxy))
    }

    /// The query with the addresses of the control socket and of the proxy.
    pub fn query(&self, proxy: &str) -> String {
        format!("control=ws://{}&proxy={proxy}", self.socket)
    }

    /// Waits until the script has loaded the package and connected its client.
    ///
    /// # Errors
    ///
    /// The script reported a failure, or the server ended.
    pub async fn ready(&mut self) -> anyhow::Result<ScriptClient> {
        let report = self
            .ready
            .recv()
            .await
            .context("the control server ended")?;
        report.map_err(|fault| anyhow::anyhow!("the script failed: {}", fault.into_error()))
    }
}

async fn serve(stream: TcpStream, ready: &mpsc::UnboundedSender<Ready>) {
    // Calls are small, and each waits for the one before.
    drop(stream.set_nodelay(true));
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let accepted = tokio_tungstenite::accept_async_with_config(stream, Some(config)).await;
    let Ok(socket) = accepted else { return };
    let (mut sink, mut stream) = socket.split();
    let (commands, mut queue) = mpsc::unbounded_channel::<Command>();
    let calls = Calls::open();
    let send = async {
        let mut ready = Vec::new();
        // All commands that are ready share a frame.
        while queue.recv_many(&mut ready, MAX_COMMANDS).await > 0 {
            let Ok(text) = serde_json::to_string(&ready) else {
                return;
            };
            ready.clear();
            if sink.send(Message::Text(text.into())).await.is_err() {
                return;
            }
        }
    };
    let receive = async {
        while let Some(Ok(message)) = stream.next().await {
            let Message::Text(text) = message else {
                continue;
            };
            let reports: Vec<Report> = match serde_json::from_str(&text) {
                Ok(reports) => reports,
                Err(error) => return eprintln!("invalid list of reports from the script: {error}"),
            };
            for report in reports {
                match report {
                    Report::Ready {} => {
                        drop(ready.send(Ok(ScriptClient::new(calls.clone(), commands.clone()))));
                    }
                    Report::Failed(fault) => drop(ready.send(Err(fault))),
                    Report::Answer { n, ok, error } => {
                        if let Some(answer) = calls.forget(n) {
                            drop(answer.send(outcome(ok, error)));
                        }
                    }
                }
            }
        }
    };
    tokio::select! {
        () = send => {}
        () = receive => {}
    }
    calls.close();
}
