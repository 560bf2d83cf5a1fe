//! A WebSocket as the session needs it: reading and writing in one place, each write's progress
//! in sight, and an end that the client gets to know.

pub(crate) mod activity;
pub(crate) mod close_reason;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Sink, Stream};
use streamgate_protocol::close::fit_reason;
use streamgate_protocol::codec::Encoding;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::socket::activity::Meter;

pub(crate) use crate::socket::close_reason::Ending;

/// Read buffer in bytes. Each socket holds one, however idle it is, and the WebSocket library fills
/// all of it with zeros at every attempt to read; a frame that is larger has room made for it.
const READ_BUFFER_BYTES: usize = 2 * 1024;

/// Bytes to write that are gathered before the system is called.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// Frames are sent in fragments of at most so many bytes: the WebSocket library moves all that is
/// unsent after every partial write, which for a frame of 64 MiB would take seconds.
const FRAGMENT_BYTES: usize = 256 * 1024;

/// A socket after the handshake.
pub(crate) struct Socket<S> {
    stream: WebSocketStream<Meter<S>>,
    encoding: Encoding,
    /// What of the frame being sent is not with the library yet.
    unsent: Bytes,
    /// Set from a write that could not be completed at once until it is.
    flushing_since: Option<Instant>,
}

/// What a socket has to say.
pub(crate) enum Event {
    /// A frame of the type that was agreed on.
    Frame(Bytes),
    /// Something that only shows that the client is there.
    Heard,
    /// What was being sent is sent.
    Flushed,
    /// Nothing more will come.
    Ended(Ending),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Takes over a stream on which the handshake is over.
    pub(crate) async fn new(stream: S, encoding: Encoding, max_frame_bytes: u32) -> Self {
        let max = Some(max_frame_bytes as usize);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_message_size(max)
            .max_frame_size(max);
        let stream = Meter::new(stream);
        let stream = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        Self {
            stream,
            encoding,
            unsent: Bytes::new(),
            flushing_since: None,
        }
    }

    pub(crate) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The next event; frames are among them only if `may_read`.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>, may_read: bool) -> Poll<Event> {
        if self.is_flushing() {
            match self.poll_send(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Event::Flushed),
                Poll::Ready(Err(ending)) => return Poll::Ready(Event::Ended(ending)),
                Poll::Pending => {}
            }
        }
        if may_read {
            self.poll_read(cx)
        } else {
            Poll::Pending
        }
    }

    /// A frame or an end that is there already.
    pub(crate) async fn ready_event(&mut self) -> Option<Event> {
        poll_fn(|cx| {
            Poll::Ready(match self.poll_read(cx) {
                Poll::Ready(event) => Some(event),
                Poll::Pending => None,
            })
        })
        .await
    }

    /// Begins to send a frame, and sends as much of it as is taken at once. The frame before it
    /// must have been sent: see [`is_flushing`](Self::is_flushing).
    pub(crate) async fn send(&mut self, frame: Vec<u8>) -> Result<(), Ending> {
        debug_assert!(!self.is_flushing());
        let frame = Bytes::from(frame);
        let first = data(self.encoding);
        self.start_fragment(frame, first)?;
        poll_fn(|cx| match self.poll_send(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => {
                self.flushing_since = Some(Instant::now());
                Poll::Ready(Ok(()))
            }
        })
        .await
    }

    /// Whether a frame is being sent.
    pub(crate) fn is_flushing(&self) -> bool {
        self.flushing_since.is_some()
    }

    /// When the client last took a part of what is being sent; `None` while nothing is.
    pub(crate) fn last_write(&self) -> Option<Instant> {
        let since = self.flushing_since?;
        Some(since.max(self.stream.get_ref().last_write()))
    }

    /// When the client was last heard.
    pub(crate) fn last_read(&self) -> Instant {
        self.stream.get_ref().last_read()
    }

    /// Sends what is left, tells the client why it ends, and waits for it to hang up: all before
    /// the deadline, at which the connection is dropped.
    pub(crate) async fn close(
        mut self,
        frames: impl Iterator<Item = Vec<u8>>,
        ending: &Ending,
        deadline: Instant,
    ) {
        let closing = async {
            if let Ending::Close { code, reason, .. } = ending {
                poll_fn(|cx| self.poll_send(cx)).await?;
                for frame in frames {
                    self.start_fragment(Bytes::from(frame), data(self.encoding))?;
                    poll_fn(|cx| self.poll_send(cx)).await?;
                }
                let reason = fit_reason(reason).to_owned().into();
                let frame = CloseFrame {
                    code: (*code).into(),
                    reason,
                };
                self.start(Message::Close(Some(frame)))?;
            }
            poll_fn(|cx| Pin::new(&mut self.stream).poll_flush(cx))
                .await
                .map_err(Ending::from)?;
            if ending.is_readable() {
                // Until the client's close frame, or its end.
                while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut self.stream).poll_next(cx)).await
                {
                }
            }
            self.hang_up().await;
            Ok::<_, Ending>(())
        };
        if tokio::time::timeout_at(deadline, closing).await.is_err() {
            tracing::debug!("a client did not take its close");
        }
    }

    /// Ends the writing side and reads on to the client's end: a connection that is closed with
    /// bytes unread is reset, and a reset takes the close frame away from the client.
    async fn hang_up(&mut self) {
        let stream = self.stream.get_mut();
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut discarded = vec![0; READ_BUFFER_BYTES];
        while let Ok(1..) = stream.read(&mut discarded).await {}
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let message = std::task::ready!(Pin::new(&mut self.stream).poll_next(cx));
        let text = self.encoding.is_text();
        Poll::Ready(match message {
            Some(Ok(Message::Binary(frame))) if !text => Event::Frame(frame),
            Some(Ok(Message::Text(frame))) if text => Event::Frame(frame.into()),
            Some(Ok(Message::Binary(_) | Message::Text(_))) => {
                Event::Ended(Ending::wrong_frame_type(self.encoding))
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Event::Heard,
            Some(Ok(Message::Close(_))) | None => Event::Ended(Ending::Left),
            Some(Err(error)) => Event::Ended(Ending::from(error)),
        })
    }

    /// Sends what is begun, fragment by fragment.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        loop {
            std::task::ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(Ending::from)?;
            if self.unsent.is_empty() {
                self.flushing_since = None;
                return Poll::Ready(Ok(()));
            }
            let rest = std::mem::take(&mut self.unsent);
            self.start_fragment(rest, Data::Continue)?;
        }
    }

    /// Gives the first fragment to the library and keeps the rest.
    fn start_fragment(&mut self, mut frame: Bytes, kind: Data) -> Result<(), Ending> {
        self.unsent = frame.split_off(frame.len().min(FRAGMENT_BYTES));
        let last = self.unsent.is_empty();
        // A raw frame: JSON is UTF-8 by construction and need not be checked again.
        self.start(Message::Frame(Frame::message(
            frame,
            OpCode::Data(kind),
            last,
        )))
    }

    fn start(&mut self, message: Message) -> Result<(), Ending> {
        Pin::new(&mut self.stream)
            .start_send(message)
            .map_err(Ending::from)
    }
}

fn data(encoding: Encoding) -> Data {
    if encoding.is_text() {
        Data::Text
    } else {
        Data::Binary
    }
}
