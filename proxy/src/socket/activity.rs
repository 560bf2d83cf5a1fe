//! When a client was last alive, and when it last took bytes.
//!
//! A whole frame shows that a client is alive. A part of one extends its life only by the time that
//! the part may take at [`MIN_BYTES_PER_SECOND`]: so a large frame on a slow line counts as activity,
//! and a frame that arrives byte by byte does not.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Lowest rate at which the parts of a frame must arrive: less than the slowest mobile network has.
pub(crate) const MIN_BYTES_PER_SECOND: u64 = 1024;

/// A stream that records when it read and wrote bytes.
pub(super) struct ActivityStream<S> {
    stream: S,
    last_read: Instant,
    /// The client's silence counts from here.
    last_alive: Instant,
    last_write: Instant,
}

impl<S> ActivityStream<S> {
    pub(super) fn new(stream: S) -> Self {
        let now = Instant::now();
        Self {
            stream,
            last_read: now,
            last_alive: now,
            last_write: now,
        }
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
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let read = buffer.filled().len() - before;
        if read > 0 {
            self.read(read);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ActivityStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
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
