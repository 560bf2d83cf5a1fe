//! A WebSocket spoken by hand, for what a client's library refuses to do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::limits::MAX_SERVER_FRAME_BYTES;
use streamgate_protocol::message::{Hello, Outcome};
use streamgate_protocol::{ClientMessage, Operation, ServerMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Where attackers come from: not from the bystander's address.
pub(crate) const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A server that takes longer for an answer has hung.
pub(crate) const HANG_LIMIT: Duration = Duration::from_secs(30);

/// Longest attempt to connect: the kernel accepts at once, until its queue is full.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// The mask: zeros leave the payload as it is, so that frames can be made ahead.
const MASK: [u8; 4] = [0; 4];

/// Opcodes of RFC 6455, section 5.2.
pub(crate) mod opcode {
    pub(crate) const CONTINUATION: u8 = 0;
    pub(crate) const TEXT: u8 = 1;
    pub(crate) const BINARY: u8 = 2;
    pub(crate) const CLOSE: u8 = 8;
    pub(crate) const PING: u8 = 9;
    pub(crate) const PONG: u8 = 10;
}

/// The bits of a frame's first byte.
pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;

/// The bit of a frame's second byte that says that there is a mask.
const MASKED: u8 = 0x80;

/// The end of an HTTP head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Longest head of a response that is read.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// An open socket, after its welcome.
#[derive(Debug)]
pub(crate) struct RawSocket {
    pub(crate) encoding: Encoding,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    unread: Vec<u8>,
    /// The message whose fragments have begun to come.
    begun: Option<Frame>,
}

/// A frame from the server.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) is_last: bool,
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// Returns a frame with a mask.
pub(crate) fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first_byte, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// Returns the header of a frame with a mask, whose payload may never come.
pub(crate) fn header(first_byte: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first_byte];
    match length {
        0..126 => header.push(MASKED | length as u8),
        126..0x1_0000 => {
            header.push(MASKED | 126);
            header.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            header.push(MASKED | 127);
            header.extend_from_slice(&length.to_be_bytes());
        }
    }
    header.extend_from_slice(&MASK);
    header
}

/// Returns a frame with messages.
pub(crate) fn messages<'a>(
    encoding: Encoding,
    messages: impl IntoIterator<Item = ClientMessage<'a>>,
) -> Vec<u8> {
    let mut payload = Vec::new();
    for message in messages {
        encoding.append(&mut payload, &message);
    }
    frame(data_opcode(encoding) | FIN, &payload)
}

/// Returns a frame with one request.
pub(crate) fn request(encoding: Encoding, id: u64, operation: Operation<'_>) -> Vec<u8> {
    messages(encoding, [ClientMessage::Request { id, operation }])
}

/// Returns the opcode of an encoding's frames.
pub(crate) fn data_opcode(encoding: Encoding) -> u8 {
    if encoding.is_text() {
        opcode::TEXT
    } else {
        opcode::BINARY
    }
}

/// Returns the hello of a client that is like no other.
pub(crate) fn hello() -> ClientMessage<'static> {
    static CLIENTS: AtomicU64 = AtomicU64::new(0);
    let client = format!("abuse-{}", CLIENTS.fetch_add(1, Ordering::Relaxed));
    ClientMessage::Hello(Hello::new(client, MAX_SERVER_FRAME_BYTES as u32))
}

/// Connects from an address.
pub(crate) async fn tcp(address: SocketAddr, from: Ipv4Addr) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
    let connect = timeout(CONNECT_LIMIT, socket.connect(address));
    let stream = connect
        .await
        .context("the queue of the listening socket is full")??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Returns the request of a handshake, with further header lines.
pub(crate) fn handshake(encoding: Encoding, further: &str) -> String {
    format!(
        "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {}\r\n{further}\r\n",
        encoding.subprotocol()
    )
}

/// Reads the head of a response: all that comes up to the empty line, or the end.
pub(crate) async fn read_head(
    reader: &mut (impl AsyncReadExt + Unpin),
) -> anyhow::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes
            .windows(HEAD_END.len())
            .position(|window| window == HEAD_END)
        {
            let rest = bytes.split_off(end + HEAD_END.len());
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        ensure!(
            bytes.len() < MAX_HEAD_BYTES,
            "the server sent a head without an end"
        );
        if reader.read_buf(&mut bytes).await? == 0 {
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), Vec::new()));
        }
    }
}

/// Returns the status of a response's head.
pub(crate) fn status(head: &str) -> Option<u16> {
    head.split(' ').nth(1)?.parse().ok()
}

impl RawSocket {
    /// Connects, and waits for the welcome.
    pub(crate) async fn connect(address: SocketAddr, encoding: Encoding) -> anyhow::Result<Self> {
        let greet = async {
            let mut socket = Self::open(address, ATTACKER, encoding, "").await?;
            socket.send(&messages(encoding, [hello()])).await?;
            let welcome = socket
                .frame()
                .await?
                .context("the server sent no welcome")?;
            ensure!(
                welcome.opcode == data_opcode(encoding),
                "no welcome but {}",
                close_text(&welcome)
            );
            Ok(socket)
        };
        timeout(HANG_LIMIT, greet)
            .await
            .context("no welcome within the hang limit")?
    }

    /// Connects, and makes the HTTP handshake with further header lines.
    pub(crate) async fn open(
        address: SocketAddr,
        from: Ipv4Addr,
        encoding: Encoding,
        further: &str,
    ) -> anyhow::Result<Self> {
        let mut stream = tcp(address, from).await?;
        stream
            .write_all(handshake(encoding, further).as_bytes())
            .await?;
        let (head, unread) = read_head(&mut stream).await?;
        ensure!(status(&head) == Some(101), "refused: {}", head.trim());
        let (reader, writer) = stream.into_split();
        Ok(Self {
            encoding,
            reader,
            writer,
            unread,
            begun: None,
        })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.writer.write_all(bytes).await
    }

    /// Splits the socket, so that one task sends while another receives.
    pub(crate) fn into_halves(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        (self.reader, self.writer)
    }

    /// Waits for a frame; `None` if the server has closed the connection.
    pub(crate) async fn frame(&mut self) -> anyhow::Result<Option<Frame>> {
        loop {
            if let Some((frame, end)) = parse(&self.unread)? {
                self.unread.drain(..end);
                return Ok(Some(frame));
            }
            // A reset is an end too.
            if !matches!(self.reader.read_buf(&mut self.unread).await, Ok(1..)) {
                return Ok(None);
            }
        }
    }

    /// Waits for a message: a frame and those that continue it. Control frames may come between.
    pub(crate) async fn message(&mut self) -> anyhow::Result<Option<Frame>> {
        loop {
            let Some(frame) = self.frame().await? else {
                return Ok(None);
            };
            let message = match self.begun.take() {
                Some(mut message) if frame.opcode == opcode::CONTINUATION => {
                    message.payload.extend_from_slice(&frame.payload);
                    message.is_last = frame.is_last;
                    message
                }
                Some(message) => {
                    ensure!(
                        frame.opcode >= opcode::CLOSE,
                        "no continuation but {frame:?}"
                    );
                    if frame.opcode == opcode::CLOSE {
                        return Ok(Some(frame));
                    }
                    self.begun = Some(message);
                    continue;
                }
                None => frame,
            };
            if message.is_last {
                return Ok(Some(message));
            }
            self.begun = Some(message);
        }
    }

    /// Waits for the server's close, and returns its code; `None` if it closes without one.
    pub(crate) async fn close_code(&mut self) -> anyhow::Result<Option<u16>> {
        let close = async {
            while let Some(frame) = self.frame().await? {
                if frame.opcode == opcode::CLOSE {
                    let code = frame.payload.first_chunk();
                    return Ok(code.map(|code| u16::from_be_bytes(*code)));
                }
            }
            Ok(None)
        };
        timeout(HANG_LIMIT, close)
            .await
            .context("no close within the hang limit")?
    }

    /// Waits for this many answers, and returns the code of each: `ok`, or an error's.
    pub(crate) async fn codes(&mut self, count: usize) -> anyhow::Result<Vec<String>> {
        let mut codes = Vec::new();
        let collect = async {
            while codes.len() < count {
                self.collect_codes(&mut codes).await?;
            }
            anyhow::Ok(())
        };
        let ended = timeout(HANG_LIMIT, collect).await;
        match ended {
            Ok(Ok(())) => Ok(codes),
            Ok(Err(error)) => Err(error.context(format!("after {} answers", codes.len()))),
            Err(_) => bail!("{} of {count} answers within the hang limit", codes.len()),
        }
    }

    /// Returns the codes of the answers that come without a pause, up to the end of the socket.
    pub(crate) async fn codes_so_far(&mut self) -> Vec<String> {
        const PAUSE: Duration = Duration::from_millis(50);
        let mut codes = Vec::new();
        while let Ok(Ok(())) = timeout(PAUSE, self.collect_codes(&mut codes)).await {}
        codes
    }

    /// Waits for a message, and adds the codes of its answers.
    async fn collect_codes(&mut self, codes: &mut Vec<String>) -> anyhow::Result<()> {
        let message = self.message().await?;
        let message = message.context("the server closed the connection")?;
        match message.opcode {
            opcode::TEXT | opcode::BINARY => {}
            opcode::PING | opcode::PONG => return Ok(()),
            _ => bail!("the server sent {}", close_text(&message)),
        }
        let mut pongs = Vec::new();
        for message in self.encoding.messages::<ServerMessage>(&message.payload) {
            match message? {
                ServerMessage::Reply {
                    outcome: Outcome::Ok(_),
                    ..
                } => codes.push("ok".to_owned()),
                ServerMessage::Reply {
                    outcome: Outcome::Error(fault),
                    ..
                } => {
                    codes.push(fault.code);
                }
                ServerMessage::Ping { nonce } => pongs.push(ClientMessage::Pong { nonce }),
                _ => {}
            }
        }
        if !pongs.is_empty() {
            self.send(&messages(self.encoding, pongs)).await?;
        }
        Ok(())
    }
}

fn close_text(frame: &Frame) -> String {
    let code = frame
        .payload
        .first_chunk()
        .map(|code| u16::from_be_bytes(*code));
    let reason = String::from_utf8_lossy(frame.payload.get(2..).unwrap_or_default());
    format!(
        "opcode {}, close code {code:?}, reason '{reason}'",
        frame.opcode
    )
}

/// Returns the first frame of these bytes and its end, if all of it is there.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<(Frame, usize)>> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    ensure!(second & MASKED == 0, "the server sent a frame with a mask");
    let (length, start) = match second & !MASKED {
        126 => match rest.first_chunk() {
            Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(length) => (u64::from_be_bytes(*length), 10),
            None => return Ok(None),
        },
        length => (u64::from(length), 2),
    };
    let end = start + usize::try_from(length)?;
    Ok(bytes.get(start..end).map(|payload| {
        let frame = Frame {
            is_last: first & FIN != 0,
            opcode: first & 0x0f,
            payload: payload.to_vec(),
        };
        (frame, end)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_a_server_are_parsed() {
        assert!(parse(&[0x82]).unwrap().is_none());
        assert!(parse(&[0x82, 2, b'a']).unwrap().is_none());
        let (frame, end) = parse(&[0x82, 2, b'a', b'b', 9]).unwrap().unwrap();
        assert_eq!((frame.opcode, &frame.payload[..], end), (2, &b"ab"[..], 4));
        let mut long = vec![0x81, 126, 1, 0];
        long.extend([b'x'; 256]);
        assert_eq!(parse(&long).unwrap().unwrap().1, 260);
    }

    #[test]
    fn headers_have_the_shortest_length() {
        assert_eq!(header(0x82, 5), [0x82, 0x85, 0, 0, 0, 0]);
        assert_eq!(header(0x82, 126).len(), 8);
        assert_eq!(header(0x82, 0x1_0000).len(), 14);
    }
}
