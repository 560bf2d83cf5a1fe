//! A stream whose first bytes were read before TLS or HTTP, and whose writes are seen.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::progress::Progress;

/// Bytes that are read to see the first one.
const FIRST_READ_BYTES: usize = 1024;

/// The stream of a connection, as TLS or HTTP sees it.
#[derive(Debug)]
pub(super) struct RequestStream<S> {
    stream: S,
    /// Bytes to read before those of the stream.
    first: Vec<u8>,
    /// How many more may be read; `None` if there is no limit.
    readable: Option<usize>,
    progress: Arc<Progress>,
}

impl<S> RequestStream<S> {
    pub(super) fn new(stream: S, first: Vec<u8>, progress: Arc<Progress>) -> Self {
        Self {
            stream,
            first,
            readable: None,
            progress,
        }
    }

    /// Lets reading fail once more bytes than these have been read.
    pub(super) fn limit_reads(&mut self, bytes: usize) {
        self.readable = Some(bytes);
    }

    pub(super) fn lift_limit(&mut self) {
        self.readable = None;
    }
}

impl<S: AsyncRead + Unpin> RequestStream<S> {
    /// Returns the byte that will be read next; `None` at the end.
    pub(super) async fn first_byte(&mut self) -> io::Result<Option<u8>> {
        if self.first.is_empty() {
            self.first.reserve(FIRST_READ_BYTES);
            self.stream.read_buf(&mut self.first).await?;
        }
        Ok(self.first.first().copied())
    }

    fn poll_read_unlimited(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = self.first.len().min(buffer.remaining());
        let rest = self.first.split_off(length);
        buffer.put_slice(&self.first);
        self.first = rest;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RequestStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = self.poll_read_unlimited(cx, buffer);
        if let Some(readable) = &mut self.readable {
            let read = buffer.filled().len() - before;
            let Some(rest) = readable.checked_sub(read) else {
                let why = "more bytes than a handshake may have";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
            };
            *readable = rest;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RequestStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            self.progress.wrote(written);
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            self.progress.wrote(written);
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
