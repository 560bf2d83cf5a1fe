//! A WebSocket as a session needs it: one place that reads and writes, visible progress of each
//! write, and a close that reaches the client.
//!
//! The WebSocket library fills its read buffer with zeros at every attempt to read, and an idle
//! socket holds it: so the buffer has only 2 KiB. With that, and a session whose closing
//! future is on the heap, an idle socket takes about 10 KiB.

mod activity;
mod close_reason;
mod fragmented_message;
mod frame_splitter;
mod utf8_check;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Sink, Stream};
use streamgate_protocol::close::fit_reason;
use streamgate_protocol::codec::Encoding;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::socket::activity::ActivityStream;
use crate::socket::fragmented_message::FragmentedMessage;
use crate::socket::frame_splitter::{Fragment, MAX_HEADER_BYTES};

#[cfg(test)]
pub(crate) use crate::socket::activity::{MESSAGE_GRACE, MIN_BYTES_PER_SECOND};
pub(crate) use crate::socket::close_reason::CloseReason;

/// Read buffer in bytes; a larger frame gets room of its own.
const READ_BUFFER_BYTES: usize = 2 * 1024;

/// Bytes to write that are gathered before a system call.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// Largest fragment of a frame, in bytes. The WebSocket library moves all unsent bytes after every
/// partial write, which would take seconds for a frame of 64 MiB. And it keeps its buffer for the
/// life of the socket, so a fragment is no larger than what every socket may keep.
pub(crate) const FRAGMENT_BYTES: usize = 32 * 1024;

/// Bytes that the WebSocket library may hold unwritten: a fragment, and answers to pings. Of those
/// that do not fit it keeps the last one, as RFC 6455 allows.
const MAX_WRITE_BUFFER_BYTES: usize = 2 * FRAGMENT_BYTES;

/// Bytes of an incomplete message that the server still buffers after its close frame: more than a
/// client's close frame has. Of a larger message it discards what arrives.
const MAX_BYTES_AFTER_CLOSE: usize = READ_BUFFER_BYTES;

/// Bytes of an incomplete message after which the session has a turn, so that they are counted.
const REPORTED_BYTES: usize = 16 * 1024;

/// Bytes from or to a socket that count as one of the operations of a
/// [turn](streamgate_backend::turn), which has 16 KiB: forty sockets that send without pause delay
/// the others by a few milliseconds.
pub(crate) const BYTES_PER_OPERATION: usize = 128;

/// Control frames that are read at once, at most. The answers to pings among them are written
/// together.
const MAX_CONTROL_FRAMES: usize = 16;

/// A socket after the handshake.
pub(crate) struct ServerSocket<S> {
    stream: WebSocketStream<ActivityStream<S>>,
    encoding: Encoding,
    max_frame_bytes: usize,
    /// The message whose fragments are arriving.
    fragmented: Option<Box<FragmentedMessage>>,
    /// The part of the piece being sent that the library does not have yet.
    unsent: Bytes,
    /// Memory that it takes.
    unsent_memory: usize,
    /// Whether the frame ends with it.
    ends_frame: bool,
    /// The type of the next fragment of it.
    next_fragment: Data,
    /// Set while a write is incomplete.
    flushing_since: Option<Instant>,
    /// Bytes of the buffers that the library keeps.
    read_buffer: GrowingBuffer,
    write_buffer: GrowingBuffer,
    /// What the session has seen of [`ServerSocket::incoming_bytes`] and the buffers.
    reported_bytes: usize,
}

/// The size of a buffer that grows as `Vec` does, and never shrinks.
#[derive(Debug, Default)]
struct GrowingBuffer(usize);

impl GrowingBuffer {
    fn reserve(&mut self, bytes: usize) {
        if bytes > self.0 {
            self.0 = bytes.max(2 * self.0);
        }
    }
}

/// Shuts the writing side down, and reads until the client's end. Closing a connection with unread
/// bytes resets it, and a reset would take the close frame away from the client.
async fn hang_up(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut discarded = vec![0; READ_BUFFER_BYTES];
    while let Ok(1..) = stream.read(&mut discarded).await {}
}

/// A frame to send, or a part of one.
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    /// Bytes of memory that it takes.
    pub(crate) memory: usize,
    /// Whether the frame ends with it.
    pub(crate) ends_frame: bool,
}

impl Piece {
    pub(crate) fn new(bytes: Vec<u8>, ends_frame: bool) -> Self {
        Self {
            memory: bytes.capacity(),
            bytes: bytes.into(),
            ends_frame,
        }
    }

    /// Returns a piece whose bytes other sockets send too, and that counts for this much memory.
    pub(crate) fn shared(bytes: Bytes, memory: usize, ends_frame: bool) -> Self {
        Self {
            bytes,
            memory,
            ends_frame,
        }
    }
}

/// What happened on a socket.
pub(crate) enum SocketProgress {
    /// A frame of the negotiated type arrived.
    Frame(Bytes),
    /// A control frame arrived: the client is alive.
    Heard,
    /// More has arrived of a message that is incomplete.
    Arriving,
    /// The frame being sent is sent.
    Flushed,
    /// Nothing more will arrive.
    Closed(CloseReason),
}

impl<S: AsyncRead + AsyncWrite + Unpin> ServerSocket<S> {
    /// Takes over a stream after its handshake.
    pub(crate) async fn new(stream: S, encoding: Encoding, max_frame_bytes: u32) -> Self {
        let max = Some(max_frame_bytes as usize);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
            .max_message_size(max)
            .max_frame_size(max);
        let stream = ActivityStream::new(stream, max_frame_bytes);
        let stream = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        Self {
            stream,
            encoding,
            max_frame_bytes: max_frame_bytes as usize,
            fragmented: None,
            unsent: Bytes::new(),
            unsent_memory: 0,
            ends_frame: true,
            next_fragment: Data::Continue,
            flushing_since: None,
            read_buffer: GrowingBuffer(READ_BUFFER_BYTES),
            write_buffer: GrowingBuffer::default(),
            reported_bytes: 0,
        }
    }

    pub(crate) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Polls for progress of the write under way and, if `may_read`, of reading.
    pub(crate) fn poll_progress(
        &mut self,
        cx: &mut Context<'_>,
        may_read: bool,
    ) -> Poll<SocketProgress> {
        let mut progress = Poll::Pending;
        if self.is_flushing() {
            match self.poll_send(cx) {
                Poll::Ready(Ok(())) => progress = Poll::Ready(SocketProgress::Flushed),
                Poll::Ready(Err(reason)) => return Poll::Ready(SocketProgress::Closed(reason)),
                Poll::Pending => {}
            }
        }
        // What has arrived comes first: otherwise a session that sends without pause, and is told
        // each time that it has sent, would not read.
        if may_read && let Poll::Ready(read) = self.poll_read(cx) {
            progress = Poll::Ready(read);
        }
        progress
    }

    /// Polls for the next frame, or the end.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<SocketProgress> {
        self.stream.get_mut().cork();
        let mut progress = self.poll_next(cx);
        for _ in 1..MAX_CONTROL_FRAMES {
            if !matches!(progress, Poll::Ready(SocketProgress::Heard)) {
                break;
            }
            match self.poll_next(cx) {
                // What was heard counts; the next poll registers the waker.
                Poll::Pending => break,
                next => progress = next,
            }
        }
        if self.stream.get_mut().uncork() {
            // An answer that cannot be written now is written with the next frame, or at the next
            // attempt to read.
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
        }
        progress
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<SocketProgress> {
        loop {
            if let Some(message) = &mut self.fragmented
                && message.is_complete()
            {
                let joined = ready!(message.poll_joined(cx));
                self.fragmented = None;
                self.reported_bytes = self.buffer_bytes();
                self.stream.get_mut().frame_arrived();
                return Poll::Ready(SocketProgress::Frame(joined));
            }
            let Poll::Ready(message) = Pin::new(&mut self.stream).poll_next(cx) else {
                let held = self.incoming_bytes().saturating_add(self.buffer_bytes());
                if held < self.reported_bytes + REPORTED_BYTES {
                    return Poll::Pending;
                }
                self.reported_bytes = held;
                return Poll::Ready(SocketProgress::Arriving);
            };
            match self.received(message) {
                Ok(Some(progress)) => {
                    self.reported_bytes = self.buffer_bytes();
                    self.stream.get_mut().frame_arrived();
                    return Poll::Ready(progress);
                }
                Ok(None) => {}
                Err(reason) => return Poll::Ready(SocketProgress::Closed(reason)),
            }
        }
    }

    /// Takes what the library has read. Returns nothing for a fragment.
    fn received(
        &mut self,
        message: Option<Result<Message, Error>>,
    ) -> Result<Option<SocketProgress>, CloseReason> {
        let (bytes, is_text) = match message {
            Some(Ok(Message::Binary(bytes))) => (bytes, false),
            Some(Ok(Message::Text(text))) => (text.into(), true),
            Some(Ok(Message::Ping(payload))) => {
                self.write_buffer.reserve(payload.len() + MAX_HEADER_BYTES);
                return Ok(Some(SocketProgress::Heard));
            }
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => {
                return Ok(Some(SocketProgress::Heard));
            }
            Some(Ok(Message::Close(_))) | None => return Err(CloseReason::ByClient),
            Some(Err(error)) => return Err(error.into()),
        };
        let fragment = self.stream.get_mut().next_fragment();
        debug_assert!(fragment.is_some(), "the splitter saw every frame");
        match fragment {
            Some(Fragment::Part { is_text, is_last }) => {
                self.check_type(is_text)?;
                let max_bytes = self.max_frame_bytes;
                let new = || Box::new(FragmentedMessage::new(is_text, max_bytes));
                let message = self.fragmented.get_or_insert_with(new);
                message.push(&bytes, is_last)?;
                Ok(None)
            }
            Some(Fragment::Whole) | None => {
                self.check_type(is_text)?;
                Ok(Some(SocketProgress::Frame(bytes)))
            }
        }
    }

    fn check_type(&self, is_text: bool) -> Result<(), CloseReason> {
        if is_text == self.encoding.is_text() {
            Ok(())
        } else {
            Err(CloseReason::wrong_frame_type(self.encoding))
        }
    }

    /// Begins to send a frame, or the next piece of one, and sends the part of it that the system
    /// takes at once.
    ///
    /// The piece before it must have been sent: see [`is_flushing`](Self::is_flushing).
    pub(crate) async fn send(&mut self, piece: Piece) -> Result<(), CloseReason> {
        debug_assert!(!self.is_flushing());
        self.start_piece(piece);
        poll_fn(|cx| match self.poll_send(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => {
                self.flushing_since = Some(Instant::now());
                Poll::Ready(Ok(()))
            }
        })
        .await
    }

    /// Returns whether a piece is being sent.
    pub(crate) fn is_flushing(&self) -> bool {
        self.flushing_since.is_some()
    }

    /// Returns when the client last took a part of the piece being sent; `None` while no piece is.
    pub(crate) fn last_write(&self) -> Option<Instant> {
        let since = self.flushing_since?;
        Some(since.max(self.stream.get_ref().last_write()))
    }

    /// Returns when bytes were last written.
    pub(crate) fn last_sent(&self) -> Instant {
        self.stream.get_ref().last_write()
    }

    /// Returns the memory that the piece being sent takes, beside the
    /// [buffers](Self::buffer_bytes).
    pub(crate) fn unsent_memory(&self) -> usize {
        self.unsent_memory
    }

    /// Returns the bytes of the WebSocket library's buffers, beyond those of a new socket. It keeps
    /// them for the life of the socket, whatever is in them.
    pub(crate) fn buffer_bytes(&mut self) -> usize {
        let largest = self.stream.get_ref().largest_payload();
        let largest = usize::try_from(largest).unwrap_or(usize::MAX);
        if largest > 0 {
            // What is read after a frame may be in the same buffer.
            self.read_buffer
                .reserve(largest.saturating_add(MAX_HEADER_BYTES));
        }
        self.read_buffer.0 - READ_BUFFER_BYTES + self.write_buffer.0
    }

    /// Returns the bytes that the socket holds of a message that the session does not have yet.
    pub(crate) fn incoming_bytes(&self) -> usize {
        let arriving = usize::try_from(self.stream.get_ref().incoming_bytes());
        let fragmented = self
            .fragmented
            .as_ref()
            .map_or(0, |message| message.bytes());
        fragmented.max(arriving.unwrap_or(usize::MAX))
    }

    /// Returns whether a message has arrived that is not joined yet.
    pub(crate) fn is_joining(&self) -> bool {
        let mut fragmented = self.fragmented.iter();
        fragmented.any(|message| message.is_complete())
    }

    /// Returns when the message that is arriving must be complete; `None` if none is arriving. Its
    /// first bytes may take `patience`.
    pub(crate) fn message_deadline(&self, patience: Duration) -> Option<Instant> {
        self.stream.get_ref().message_deadline(patience)
    }

    /// Returns when bytes last arrived.
    pub(crate) fn last_read(&self) -> Instant {
        self.stream.get_ref().last_read()
    }

    /// Returns when the client was last alive: when a frame arrived, or enough of one.
    pub(crate) fn last_alive(&self) -> Instant {
        self.stream.get_ref().last_alive()
    }

    /// Lets the client's silence count from now on.
    pub(crate) fn restart_silence(&mut self) {
        self.stream.get_mut().restart_silence();
    }

    /// Gives up what others need the memory of: the rest of the frame being sent, and what has
    /// arrived of a message. Nothing but a close may follow.
    pub(crate) fn discard_all(&mut self) {
        (self.unsent, self.unsent_memory) = (Bytes::new(), 0);
        self.fragmented = None;
    }

    /// Sends the remaining pieces and the close, and awaits the client's close. Drops the connection
    /// at the deadline.
    pub(crate) async fn close(
        mut self,
        pieces: impl Iterator<Item = Piece>,
        close_reason: &CloseReason,
        deadline: Instant,
    ) {
        let closing = async {
            if let CloseReason::ByServer { code, reason, .. } = close_reason {
                poll_fn(|cx| self.poll_send(cx)).await?;
                for piece in pieces {
                    self.start_piece(piece);
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
                .map_err(CloseReason::from)?;
            if close_reason.is_readable() {
                // Until the client's close frame, its end, or too much of anything else.
                let max_bytes = MAX_BYTES_AFTER_CLOSE as u64;
                self.stream.get_mut().limit_incoming(max_bytes);
                while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut self.stream).poll_next(cx)).await
                {
                    while self.stream.get_mut().next_fragment().is_some() {}
                }
            }
            hang_up(self.stream.into_inner().into_inner()).await;
            Ok::<_, CloseReason>(())
        };
        if tokio::time::timeout_at(deadline, closing).await.is_err() {
            tracing::debug!("connection dropped: the client did not answer the close in time");
        }
    }

    /// Sends the started piece, fragment by fragment.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        loop {
            ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(CloseReason::from)?;
            if self.unsent.is_empty() {
                self.flushing_since = None;
                return Poll::Ready(Ok(()));
            }
            self.start_fragment()?;
        }
    }

    /// Sets the piece to send next. Nothing of it goes to the library before that has written all
    /// it has.
    fn start_piece(&mut self, piece: Piece) {
        if std::mem::replace(&mut self.ends_frame, piece.ends_frame) {
            self.next_fragment = if self.encoding.is_text() {
                Data::Text
            } else {
                Data::Binary
            };
        }
        (self.unsent, self.unsent_memory) = (piece.bytes, piece.memory);
    }

    /// Hands the next fragment to the library and keeps the rest.
    fn start_fragment(&mut self) -> Result<(), CloseReason> {
        let bytes = self.unsent.len().min(FRAGMENT_BYTES);
        let fragment = self.unsent.split_to(bytes);
        let kind = std::mem::replace(&mut self.next_fragment, Data::Continue);
        let is_last = self.unsent.is_empty() && self.ends_frame;
        if self.unsent.is_empty() {
            self.unsent_memory = 0;
        }
        // A raw frame: JSON is UTF-8 by construction, so nothing has to check it again.
        self.start(Message::Frame(Frame::message(
            fragment,
            OpCode::Data(kind),
            is_last,
        )))
    }

    fn start(&mut self, message: Message) -> Result<(), CloseReason> {
        self.write_buffer.reserve(message.len() + MAX_HEADER_BYTES);
        Pin::new(&mut self.stream)
            .start_send(message)
            .map_err(CloseReason::from)
    }
}
