//! When a client was last alive, and when it last took bytes.
//!
//! A whole frame shows that a client is alive. A part of one extends its life only by the time that
//! the part may take at [`MIN_BYTES_PER_SECOND`]: so a large frame on a slow line counts as activity,
//! and a frame that arrives byte by byte does not. A message has a deadline too: after
//! [`MESSAGE_GRACE`] it must have arrived at [`MIN_MESSAGE_BYTES_PER_SECOND`] on average.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use streamgate_backend::turn;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::BYTES_PER_OPERATION;
use super::frame_splitter::{Fragment, FrameSplitter, IncomingMessage, MAX_HEADER_BYTES};

/// Lowest rate at which the parts of a frame must arrive: less than the slowest mobile network has.
pub(crate) const MIN_BYTES_PER_SECOND: u64 = 1024;

/// Lowest rate at which a large message must arrive as a whole: that of a slow mobile network. It
/// bounds for how long a client can hold the memory of an incomplete message.
pub(crate) const MIN_MESSAGE_BYTES_PER_SECOND: u64 = 4 * 1024;

/// Time that every message has beside: 64 KiB may arrive at [`MIN_BYTES_PER_SECOND`].
pub(crate) const MESSAGE_GRACE: Duration = Duration::from_secs(64);

/// Frames whose headers take as long as one of the operations that a turn has.
const HEADERS_PER_OPERATION: usize = 16;

/// A stream that records when it read and wrote bytes.
pub(super) struct ActivityStream<S> {
    stream: S,
    last_read: Instant,
    /// The client's silence counts from here.
    last_alive: Instant,
    last_write: Instant,
    splitter: FrameSplitter,
    /// The message that is arriving, as it was when its time began to count.
    counted_from: Option<(Instant, IncomingMessage)>,
    /// Bytes of an incomplete message above which reading fails.
    max_incoming_bytes: u64,
    /// Whether writes are held back, and whether one was.
    is_corked: bool,
    is_write_held_back: bool,
}

impl<S> ActivityStream<S> {
    pub(super) fn new(stream: S, max_frame_bytes: u32) -> Self {
        let now = Instant::now();
        Self {
            stream,
            last_read: now,
            last_alive: now,
            last_write: now,
            splitter: FrameSplitter::new(max_frame_bytes.into()),
            counted_from: None,
            max_incoming_bytes: u64::MAX,
            is_corked: false,
            is_write_held_back: false,
        }
    }

    /// Holds writes back, so that the answers to several control frames share a system call.
    pub(super) fn cork(&mut self) {
        self.is_corked = true;
    }

    /// Lets writes through again. Returns whether one was held back, which the caller repeats.
    pub(super) fn uncork(&mut self) -> bool {
        self.is_corked = false;
        std::mem::take(&mut self.is_write_held_back)
    }

    /// Returns the largest payload that the WebSocket library had to buffer in one piece.
    pub(super) fn largest_payload(&self) -> u64 {
        self.splitter.largest_payload()
    }

    /// Returns what the library's next message of data is.
    pub(super) fn next_fragment(&mut self) -> Option<Fragment> {
        self.splitter.next_fragment()
    }

    /// Lets reading fail from now on once more bytes than these have arrived of a message.
    pub(super) fn limit_incoming(&mut self, max_bytes: u64) {
        self.max_incoming_bytes = max_bytes;
    }

    /// Returns the stream itself.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Returns the bytes that have arrived of a message that is incomplete.
    pub(super) fn incoming_bytes(&self) -> u64 {
        self.splitter.incoming().map_or(0, |message| message.bytes)
    }

    /// Returns when the message that is arriving must be complete, unless more of it has arrived
    /// until then; `None` if none is. Its first bytes may take `patience`.
    pub(super) fn message_deadline(&self, patience: Duration) -> Option<Instant> {
        let (since, counted) = self.counted_from?;
        let bytes = self.incoming_bytes().saturating_sub(counted.bytes);
        let granted = Duration::from_millis(bytes * 1_000 / MIN_MESSAGE_BYTES_PER_SECOND);
        Some(since + patience + MESSAGE_GRACE + granted)
    }

    /// Follows the prefix and the bytes that were read after it. Returns how many of them are for
    /// the WebSocket library.
    fn pass(&mut self, bytes: &mut [u8]) -> usize {
        let passed = self.splitter.pass(bytes);
        self.counted_from = self.splitter.incoming().map(|message| {
            let counted = self.counted_from;
            let counted = counted.filter(|(_, counted)| counted.number == message.number);
            let begin = IncomingMessage {
                bytes: 0,
                ..message
            };
            counted.unwrap_or((self.last_read, begin))
        });
        passed
    }

    pub(super) fn last_alive(&self) -> Instant {
        self.last_alive
    }

    /// Records that a whole frame has arrived with the bytes that were read last.
    pub(super) fn frame_arrived(&mut self) {
        self.last_alive = self.last_read;
    }

    /// Lets the client's silence count from now on.
    pub(super) fn restart_silence(&mut self) {
        self.last_alive = Instant::now();
        let now = self.last_alive;
        self.counted_from = self.splitter.incoming().map(|message| (now, message));
    }

    fn read(&mut self, bytes: usize) {
        self.last_read = Instant::now();
        let granted = Duration::from_micros(bytes as u64 * 1_000_000 / MIN_BYTES_PER_SECOND);
        self.last_alive = self.last_read.min(self.last_alive + granted);
    }

    pub(super) fn last_read(&self) -> Instant {
        self.last_read
    }

    pub(super) fn last_write(&self) -> Instant {
        self.last_write
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ActivityStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.incoming_bytes() > this.max_incoming_bytes {
                return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
            }
            let mut prefix = [0; MAX_HEADER_BYTES];
            let prefix_bytes = this.splitter.prefix().len();
            prefix[..prefix_bytes].copy_from_slice(this.splitter.prefix());
            let unfilled = buffer.initialize_unfilled();
            let Some(room) = unfilled
                .len()
                .checked_sub(prefix_bytes)
                .filter(|room| *room > 0)
            else {
                // The library leaves room for a header wherever one may come.
                return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
            };
            unfilled[..prefix_bytes].copy_from_slice(&prefix[..prefix_bytes]);
            let end = prefix_bytes + this.splitter.max_read(room);
            let mut rest = ReadBuf::new(&mut unfilled[prefix_bytes..end]);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut rest))?;
            let read = rest.filled().len();
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            this.read(read);
            let headers = this.splitter.headers();
            let passed = this.pass(&mut unfilled[..prefix_bytes + read]);
            let headers = this.splitter.headers().wrapping_sub(headers);
            turn::spend(
                cx,
                read / BYTES_PER_OPERATION + headers / HEADERS_PER_OPERATION,
            );
            if passed > 0 {
                buffer.advance(passed);
                return Poll::Ready(Ok(()));
            }
            // A part of a header alone. Nothing would mean the end.
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ActivityStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_corked {
            self.is_write_held_back = true;
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(1..)) = polled {
            self.last_write = Instant::now();
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
