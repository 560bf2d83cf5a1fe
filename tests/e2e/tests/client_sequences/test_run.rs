//! One transcript, played against a client of its own.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use streamgate_client::{CacheError, CacheResult, Client, ConnectionState};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::limits::MIN_CLIENT_FRAME_BYTES;
use streamgate_protocol::message::is_client_id;
use streamgate_test_support::sequence::{ClientStep, Sequence, Variables};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::owner::Owner;
use crate::server_socket::{HANG_LIMIT, Received, ServerSocket};
use crate::token_source::TokenSource;

/// Catches hangs, also of a step of many others.
const STEP_LIMIT: Duration = Duration::from_secs(120);

/// Of the ping that ends a transcript.
const LAST_NONCE: u64 = 9_007_199_254_740_991;

pub(crate) struct TestRun {
    encoding: Encoding,
    listener: TcpListener,
    /// Until the client is needed: it is there after the first `welcome`.
    connecting: Option<JoinHandle<CacheResult<Client>>>,
    owner: Option<Owner>,
    socket: Option<ServerSocket>,
    /// The id of the client's first `hello`.
    client_id: Option<String>,
    token_source: TokenSource,
    variables: Variables,
}

impl TestRun {
    pub(crate) async fn start(encoding: Encoding) -> anyhow::Result<Self> {
        Ok(Self {
            encoding,
            listener: TcpListener::bind("127.0.0.1:0").await?,
            connecting: None,
            owner: None,
            socket: None,
            client_id: None,
            token_source: TokenSource::default(),
            variables: Variables::default(),
        })
    }

    pub(crate) async fn play(mut self, sequence: &Sequence<ClientStep>) -> anyhow::Result<()> {
        for (number, step) in (1..).zip(&sequence.steps) {
            let played = tokio::time::timeout(STEP_LIMIT, self.step(step)).await;
            let played = played.unwrap_or_else(|_| bail!("it hangs"));
            played.with_context(|| format!("step {number}, {step:?}"))?;
        }
        self.token_source.expect_no_request()?;
        if self.socket.is_some() {
            let ping = json!({"ping": {"nonce": LAST_NONCE}});
            let pong = json!({"pong": {"nonce": LAST_NONCE}});
            self.socket()?.send(&[ping]).await?;
            self.expect(&[pong], false).await.context("at the end")?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each step")]
    async fn step(&mut self, step: &ClientStep) -> anyhow::Result<()> {
        match step {
            ClientStep::Start {
                idempotent_adds,
                token,
                token_source,
            } => {
                let url = format!("ws://{}/v1/ws", self.listener.local_addr()?);
                let pauses = (Duration::from_millis(5), Duration::from_millis(50));
                let mut builder = Client::builder(&url)
                    .encoding(self.encoding)
                    .exactly_once(*idempotent_adds)
                    .backoff(pauses.0, pauses.1);
                if let Some(token) = token {
                    builder = builder.token(token);
                }
                if *token_source {
                    builder = self.token_source.supply(builder);
                }
                self.connecting = Some(tokio::spawn(builder.connect()));
                Ok(())
            }
            ClientStep::TokenRequest {
                force,
                answer,
                error,
            } => {
                let answer = match (answer, error) {
                    (Some(token), None) => Ok(token.clone()),
                    (None, Some(code)) => Err(CacheError::from_code(code, "no token")),
                    _ => bail!("either an answer or an error"),
                };
                self.token_source.answer(*force, answer).await
            }
            ClientStep::Accept => self.accept().await,
            ClientStep::Connect { welcome, token } => {
                self.accept().await?;
                self.expect_hello(token.as_deref()).await?;
                let mut message = json!({"welcome": {
                    "server": "runner/1",
                    "features": [],
                    "max_in_flight": 16_384,
                    "max_frame_bytes": 16_777_216,
                    "heartbeat_ms": 15_000,
                }});
                for (key, value) in welcome {
                    message["welcome"][key] = value.clone();
                }
                self.socket()?.send(&[message]).await
            }
            ClientStep::Refuse {
                status,
                retry_after,
            } => {
                let stream = self.accept_stream().await?;
                ServerSocket::refuse(stream, *status, *retry_after).await
            }
            ClientStep::Send { messages } => {
                let messages = self.fill(messages)?;
                self.socket()?.send(&messages).await
            }
            ClientStep::SendRaw {
                json,
                binary,
                other_type,
                id,
            } => {
                self.send_raw([json, binary], *other_type, id.as_deref())
                    .await
            }
            ClientStep::Expect {
                messages,
                any_order,
            } => self.expect(messages, *any_order).await,
            ClientStep::ExpectCredit { id, more_than } => {
                let [id, more_than] = [self.number(id)?, self.number(more_than)?];
                self.socket()?.receive_credit(id, more_than).await
            }
            ClientStep::ExpectClose { code } => {
                let mut socket = self.take_socket()?;
                match socket.receive().await? {
                    Received::Close(received) if received == *code => socket.finish().await,
                    other => bail!("arrived instead: {other:?}"),
                }
            }
            ClientStep::Silence { ms } => self.expect_silence(Duration::from_millis(*ms)).await,
            ClientStep::Pause { ms } => {
                tokio::time::sleep(Duration::from_millis(*ms)).await;
                Ok(())
            }
            ClientStep::Close { code } => self.take_socket()?.close(*code).await,
            ClientStep::Cut => self.take_socket()?.cut(),
            ClientStep::Call { name, operation } => {
                let operation = self.variables.fill(operation)?;
                self.owner().await?.call(name, &operation).await
            }
            ClientStep::Result {
                name,
                ok,
                error,
                retry_after_ms,
            } => {
                let result = self.owner().await?.result(name).await?;
                match (result, error) {
                    (Err(received), Some(code)) => check_error(&received, code, *retry_after_ms),
                    (Ok(value), None) => self.compare(std::slice::from_ref(ok), vec![value]),
                    (other, _) => bail!("the result is {other:?}"),
                }
            }
            ClientStep::Subscribe { name, subscription } => {
                let subscription = self.variables.fill(subscription)?;
                self.owner().await?.subscribe(name, &subscription).await
            }
            ClientStep::Take { name, items } => {
                let taken = self.owner().await?.take(name, items.len()).await?;
                self.compare(items, taken)
            }
            ClientStep::End {
                name,
                error,
                retry_after_ms,
            } => match (self.owner().await?.end(name).await?, error) {
                (Some(received), Some(code)) => check_error(&received, code, *retry_after_ms),
                (None, None) => Ok(()),
                (other, _) => bail!("the loop ended with {other:?}"),
            },
            ClientStep::Cancel { name } => self.owner().await?.cancel(name),
            ClientStep::CloseClient => {
                let client = self.owner().await?.client.clone();
                tokio::spawn(async move { client.close().await });
                Ok(())
            }
            ClientStep::AbortClient => {
                self.owner().await?.client.abort();
                Ok(())
            }
            ClientStep::Stopped => self.until_state("closed").await,
            ClientStep::State { state } => self.until_state(state).await,
            ClientStep::Repeat {
                count,
                variable,
                steps,
            } => {
                for number in 1..=self.number(count)? {
                    self.variables.set(variable, number);
                    for step in steps {
                        Box::pin(self.step(step)).await?;
                    }
                }
                Ok(())
            }
        }
    }

    async fn accept_stream(&self) -> anyhow::Result<TcpStream> {
        let accepted = tokio::time::timeout(HANG_LIMIT, self.listener.accept()).await;
        Ok(accepted.context("no connection in time")??.0)
    }

    async fn accept(&mut self) -> anyhow::Result<()> {
        let stream = self.accept_stream().await?;
        self.socket = Some(ServerSocket::accept(stream, self.encoding).await?);
        Ok(())
    }

    /// Expects a valid hello with this token as the next message.
    async fn expect_hello(&mut self, token: Option<&str>) -> anyhow::Result<()> {
        let received = self.socket()?.receive().await?;
        let Received::Message(message) = &received else {
            bail!("no hello: {received:?}");
        };
        let hello = &message["hello"];
        let client = hello["client"].as_str().unwrap_or_default();
        let max_frame_bytes = hello["max_frame_bytes"].as_u64().unwrap_or_default();
        ensure!(
            is_client_id(client) && max_frame_bytes >= u64::from(MIN_CLIENT_FRAME_BYTES),
            "an invalid hello: {message}"
        );
        ensure!(hello["token"].as_str() == token, "another token: {message}");
        let first = self.client_id.get_or_insert_with(|| client.to_owned());
        ensure!(first == client, "the client's id was {first}: {message}");
        Ok(())
    }

    async fn send_raw(
        &mut self,
        [json, binary]: [&str; 2],
        other_type: bool,
        id: Option<&str>,
    ) -> anyhow::Result<()> {
        let id = match id {
            Some(id) => self.number(&id.into())?,
            None => 0,
        };
        ensure!(id < 128, "an id of several bytes: {id}");
        let text = self.encoding.is_text();
        let frame = if text {
            json.replace("$id", &id.to_string()).into_bytes()
        } else {
            from_hex(&binary.replace("$id", &format!("{id:02x}")))?
        };
        self.socket()?.send_frame(frame, text != other_type).await
    }

    async fn expect(&mut self, patterns: &[Value], any_order: bool) -> anyhow::Result<()> {
        let mut messages = Vec::new();
        for _ in patterns {
            match self.socket()?.receive().await {
                Ok(Received::Message(message)) => messages.push(message),
                other => bail!("after {messages:?}: {other:?}"),
            }
        }
        let matched = self.variables.match_all(patterns, &messages, any_order);
        ensure!(matched, "arrived instead: {}", Value::Array(messages));
        Ok(())
    }

    async fn expect_silence(&mut self, time: Duration) -> anyhow::Result<()> {
        let Self {
            socket,
            listener,
            token_source,
            ..
        } = self;
        let any = async {
            match socket {
                Some(socket) => socket.expect_silence().await,
                None => bail!("a connection arrived: {:?}", listener.accept().await?),
            }
        };
        let any = async {
            tokio::select! {
                any = any => any,
                force = token_source.next() => bail!("the client asks for a token: {force:?}"),
            }
        };
        tokio::time::timeout(time, any).await.unwrap_or(Ok(()))
    }

    /// Waits until the client reports a state.
    async fn until_state(&mut self, wanted: &str) -> anyhow::Result<()> {
        let mut states = self.owner().await?.client.states();
        let is_wanted = |state: &ConnectionState| state.as_str() == wanted;
        let reached = async { while !states.next().await.as_ref().is_none_or(is_wanted) {} };
        let reached = tokio::time::timeout(HANG_LIMIT, reached).await;
        reached.context("the client does not report the state in time")
    }

    fn compare(&mut self, patterns: &[Value], values: Vec<Value>) -> anyhow::Result<()> {
        let matched = self.variables.match_all(patterns, &values, false);
        ensure!(matched, "received instead: {}", Value::Array(values));
        Ok(())
    }

    fn fill(&mut self, messages: &[Value]) -> anyhow::Result<Vec<Value>> {
        let filled = messages.iter().map(|message| self.variables.fill(message));
        filled.collect()
    }

    fn number(&mut self, value: &Value) -> anyhow::Result<u64> {
        let value = self.variables.fill(value)?;
        value
            .as_u64()
            .with_context(|| format!("{value} is no number"))
    }

    fn socket(&mut self) -> anyhow::Result<&mut ServerSocket> {
        self.socket.as_mut().context("no socket is open")
    }

    fn take_socket(&mut self) -> anyhow::Result<ServerSocket> {
        self.socket.take().context("no socket is open")
    }

    async fn owner(&mut self) -> anyhow::Result<&mut Owner> {
        if let Some(connecting) = self.connecting.take() {
            let client = tokio::time::timeout(HANG_LIMIT, connecting).await;
            self.owner = Some(Owner::of(client.context("not connected in time")???));
        }
        self.owner.as_mut().context("no client was started")
    }
}

fn check_error(error: &CacheError, code: &str, retry_after_ms: Option<u64>) -> anyhow::Result<()> {
    let expected = retry_after_ms.map(Duration::from_millis);
    let matches = error.code() == code && error.retry_after() == expected;
    ensure!(matches, "the error is {error} instead of {code}");
    Ok(())
}

fn from_hex(digits: &str) -> anyhow::Result<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}
