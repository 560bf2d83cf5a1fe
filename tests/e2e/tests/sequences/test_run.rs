//! One transcript, played against a server of its own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use streamgate::{Config, Server};
use streamgate_backend::Backend;
use streamgate_protocol::codec::Encoding;
use streamgate_test_support::sequence::{Sequence, Step, Variables};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::socket::{Received, Socket};

/// Ends a socket that is still open: nothing may have arrived before its pong.
const LAST_NONCE: u64 = 9_007_199_254_740_991;

pub(crate) struct TestRun {
    address: SocketAddr,
    encoding: Encoding,
    shutdown: Option<oneshot::Sender<()>>,
    sockets: HashMap<String, Socket>,
    variables: Variables,
}

impl TestRun {
    /// Starts a server; `heartbeat_ms` replaces the default of its heartbeat interval.
    pub(crate) async fn start(
        backend: Arc<dyn Backend>,
        encoding: Encoding,
        heartbeat_ms: Option<u32>,
    ) -> Self {
        let mut config = Config::default();
        if let Some(heartbeat_ms) = heartbeat_ms {
            config = config.heartbeat_ms(heartbeat_ms);
        }
        let server = Server::new(backend, config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, begun) = oneshot::channel();
        tokio::spawn(server.serve(listener, async {
            // Also ready when the run is over.
            let _ = begun.await;
        }));
        Self {
            address,
            encoding,
            shutdown: Some(shutdown),
            sockets: HashMap::new(),
            variables: Variables::default(),
        }
    }

    pub(crate) async fn play(mut self, sequence: &Sequence) -> anyhow::Result<()> {
        for (number, step) in (1..).zip(&sequence.steps) {
            let played = self.step(step).await;
            played.with_context(|| format!("step {number}, {step:?}"))?;
        }
        let names: Vec<_> = self.sockets.keys().cloned().collect();
        for socket in names {
            let ping = json!({"ping": {"nonce": LAST_NONCE}});
            let pong = json!({"pong": {"nonce": LAST_NONCE}});
            self.socket(&socket)?.send(&[ping]).await?;
            self.expect(&socket, &[pong], false).await?;
            self.socket(&socket)?.close(1000).await?;
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::Open { socket } => self.open(socket).await,
            Step::Connect { socket } => {
                self.open(socket).await?;
                let hello = json!({"hello": {
                    "client": format!("$client-{socket}"),
                    "max_frame_bytes": 16_842_752,
                    "features": [],
                }});
                let welcome = json!({"welcome": {
                    "server": "$_",
                    "features": "$_",
                    "max_in_flight": "$max_in_flight",
                    "max_frame_bytes": "$max_frame_bytes",
                    "heartbeat_ms": "$heartbeat_ms",
                }});
                self.send(socket, &[hello]).await?;
                self.expect(socket, &[welcome], false).await
            }
            Step::Send { socket, messages } => self.send(socket, messages).await,
            Step::SendRaw {
                socket,
                json,
                binary,
                other_type,
            } => {
                let text = self.encoding.is_text();
                let content = self.variables.fill(if text { json } else { binary })?;
                let content = content.as_str().context("a raw frame is text")?;
                let frame = if text {
                    content.as_bytes().to_vec()
                } else {
                    from_hex(content)?
                };
                let socket = self.socket(socket)?;
                socket.send_frame(frame, text != *other_type).await
            }
            Step::Expect {
                socket,
                messages,
                any_order,
            } => self.expect(socket, messages, *any_order).await,
            Step::ExpectPing { socket, answer } => self.socket(socket)?.receive_ping(*answer).await,
            Step::ExpectClose { socket, code } => {
                match self.socket(socket)?.receive().await? {
                    Received::Close(received) if received == *code => {}
                    other => bail!("arrived instead: {other:?}"),
                }
                self.sockets.remove(socket);
                Ok(())
            }
            Step::Close { socket, code } => {
                self.socket(socket)?.close(*code).await?;
                self.sockets.remove(socket);
                Ok(())
            }
            Step::ShutDown => {
                let shutdown = self.shutdown.take().context("it shuts down once")?;
                ensure!(shutdown.send(()).is_ok(), "the server has ended");
                Ok(())
            }
            Step::Repeat {
                count,
                variable,
                steps,
            } => {
                for number in 1..=*count {
                    self.variables.set(variable, number);
                    for step in steps {
                        Box::pin(self.step(step)).await?;
                    }
                }
                Ok(())
            }
        }
    }

    async fn open(&mut self, name: &str) -> anyhow::Result<()> {
        let socket = Socket::open(self.address, self.encoding).await?;
        self.sockets.insert(name.to_owned(), socket);
        Ok(())
    }

    fn socket(&mut self, name: &str) -> anyhow::Result<&mut Socket> {
        self.sockets
            .get_mut(name)
            .with_context(|| format!("socket {name} is not open"))
    }

    async fn send(&mut self, socket: &str, messages: &[Value]) -> anyhow::Result<()> {
        let filled: anyhow::Result<Vec<_>> = messages
            .iter()
            .map(|message| self.variables.fill(message))
            .collect();
        self.socket(socket)?.send(&filled?).await
    }

    async fn expect(
        &mut self,
        socket: &str,
        patterns: &[Value],
        any_order: bool,
    ) -> anyhow::Result<()> {
        let mut messages = Vec::new();
        for _ in patterns {
            match self.socket(socket)?.receive().await {
                Ok(Received::Message(message)) => messages.push(message),
                other => bail!("after {messages:?}: {other:?}"),
            }
        }
        let matched = self.variables.match_all(patterns, &messages, any_order);
        ensure!(matched, "arrived instead: {}", Value::Array(messages));
        Ok(())
    }
}

fn from_hex(digits: &str) -> anyhow::Result<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}
