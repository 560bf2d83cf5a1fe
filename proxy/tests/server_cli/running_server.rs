//! A process of the command, and a blocking client of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::{Hello, Outcome};
use streamgate_protocol::{ClientMessage, Operation, ServerMessage};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

pub(crate) fn streamgate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamgate"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // The environment of whoever runs the tests must not change them.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STREAMGATE_")) {
        command.env_remove(name);
    }
    // Tests run side by side, and its default port is there once.
    command.env("STREAMGATE_ADMIN_LISTEN", "off");
    command
}

/// Runs a command that must fail with this exit code, and returns its one line.
pub(crate) fn error_line(mut command: Command, exit_code: i32) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(exit_code), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    let line = text
        .strip_suffix('\n')
        .unwrap_or_else(|| panic!("no line: {text:?}"));
    assert!(!line.contains('\n'), "more than one line: {text}");
    assert!(line.starts_with("streamgate: "), "{line}");
    line.to_owned()
}

pub(crate) fn get_from(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// A server that listens; it is killed at the end of the test.
pub(crate) struct RunningServer {
    pub(crate) child: Child,
    pub(crate) line: String,
    pub(crate) address: SocketAddr,
}

impl RunningServer {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let (scheme, rest) = line.split_once("://").unwrap();
        assert!(
            [
                "streamgate listening on http",
                "streamgate listening on https"
            ]
            .contains(&scheme),
            "{line}"
        );
        let address = rest.split_whitespace().next().unwrap().parse().unwrap();
        Self {
            child,
            line,
            address,
        }
    }

    pub(crate) fn get(&self, path: &str) -> String {
        get_from(self.address, path)
    }

    #[cfg(unix)]
    pub(crate) fn stop_with(&mut self, signal: &str) -> Output {
        let kill = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        let mut stderr = Vec::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_end(&mut stderr)
            .unwrap();
        Output {
            status: self.child.wait().unwrap(),
            stdout: Vec::new(),
            stderr,
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A blocking client, which receives one message after the other.
pub(crate) struct BlockingClient<S = TcpStream>(pub(crate) WebSocket<S>);

impl BlockingClient {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, None)
    }

    /// Connects, and says hello with a token.
    pub(crate) fn connect_with(address: SocketAddr, token: Option<&str>) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        // A test that would hang fails instead.
        let timeout = Some(Duration::from_secs(20));
        stream.set_read_timeout(timeout).unwrap();
        Self::on(stream, token)
    }
}

impl<S: Read + Write> BlockingClient<S> {
    /// Makes a WebSocket handshake on a stream, and says hello with a token.
    pub(crate) fn on(stream: S, token: Option<&str>) -> Self {
        // The path alone counts.
        let mut request = "ws://localhost/v1/ws".into_client_request().unwrap();
        let json = Encoding::Json.subprotocol().parse().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", json);
        let (socket, _) = tokio_tungstenite::tungstenite::client(request, stream).unwrap();
        let mut client = Self(socket);
        // No other client is replaced by this one.
        static CLIENTS: AtomicU64 = AtomicU64::new(0);
        let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
        let mut hello = Hello::new(format!("client-{number}"), u32::MAX);
        hello.token = token.map(Into::into);
        client.send(&ClientMessage::Hello(hello));
        client
    }

    pub(crate) fn send(&mut self, message: &ClientMessage<'_>) {
        let mut frame = Vec::new();
        Encoding::Json.append(&mut frame, message);
        let frame = Message::text(String::from_utf8(frame).unwrap());
        self.0.send(frame).unwrap();
    }

    /// Receives the next frame, which must contain one message.
    pub(crate) fn receive(&mut self) -> ServerMessage {
        let Message::Text(frame) = self.0.read().unwrap() else {
            panic!("no text");
        };
        let mut messages = Encoding::Json.messages(frame.as_bytes());
        let message = messages.next().unwrap().unwrap();
        assert!(messages.next().is_none(), "{frame}");
        message
    }

    /// Reads to the end. Returns the code of the close.
    pub(crate) fn close_code(&mut self) -> u16 {
        loop {
            match self.0.read().unwrap() {
                Message::Close(frame) => return frame.unwrap().code.into(),
                _ => continue,
            }
        }
    }

    /// Adds an entry; an error is its code and its retry hint.
    pub(crate) fn add(&mut self, id: u64) -> Result<(), (String, String)> {
        let operation = Operation::Add {
            stream: "s".into(),
            fields: vec![("f".into(), "v".into())],
            maxlen: None,
        };
        self.send(&ClientMessage::Request { id, operation });
        match self.receive() {
            ServerMessage::Reply { outcome, .. } => match outcome {
                Outcome::Ok(_) => Ok(()),
                Outcome::Error(fault) => Err((fault.code, fault.retry)),
            },
            other => panic!("not a reply: {other:?}"),
        }
    }

    /// Receives the next message, which must be about the backend; returns why it is unavailable.
    pub(crate) fn next_backend_code(&mut self) -> Option<String> {
        match self.receive() {
            ServerMessage::Backend { unavailable } => unavailable.map(|fault| fault.code),
            other => panic!("not about the backend: {other:?}"),
        }
    }
}

/// The log of a running server.
pub(crate) struct Log(BufReader<ChildStderr>);

impl Log {
    pub(crate) fn of(server: &mut RunningServer) -> Self {
        Self(BufReader::new(server.child.stderr.take().unwrap()))
    }

    /// Reads up to a line with this text, and returns it.
    pub(crate) fn until(&mut self, text: &str) -> String {
        let mut log = String::new();
        loop {
            let mut line = String::new();
            let bytes = self.0.read_line(&mut line).unwrap();
            assert_ne!(bytes, 0, "no {text:?} in {log}");
            if line.contains(text) {
                return line;
            }
            log.push_str(&line);
        }
    }
}
