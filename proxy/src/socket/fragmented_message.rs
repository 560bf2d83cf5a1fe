//! A message that arrives in fragments, and is put together piece by piece.
//!
//! The WebSocket library would keep such a message in one buffer, and move all of it each time that
//! it doubles: others would wait for megabytes. Here fragments fill chunks of a fixed size, and a
//! complete message is joined over several turns. Each chunk is freed as it is joined, so a message
//! never takes its memory twice.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use streamgate_backend::turn;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::{Bytes, Error};

use super::utf8_check::Utf8Check;

/// Bytes of a full chunk.
const CHUNK_BYTES: usize = 64 * 1024;

/// Operations of a turn that joining a chunk takes: a turn joins 256 KiB.
const CHUNK_OPERATIONS: usize = turn::OPERATIONS / 4;

/// The fragments of a message so far.
#[derive(Debug)]
pub(super) struct FragmentedMessage {
    is_text: bool,
    max_bytes: usize,
    bytes: usize,
    chunks: VecDeque<Vec<u8>>,
    utf8: Utf8Check,
    /// The joined bytes; present once the message is complete.
    joined: Option<Vec<u8>>,
}

impl FragmentedMessage {
    pub(super) fn new(is_text: bool, max_bytes: usize) -> Self {
        Self {
            is_text,
            max_bytes,
            bytes: 0,
            chunks: VecDeque::new(),
            utf8: Utf8Check::default(),
            joined: None,
        }
    }

    /// Returns the bytes that have arrived.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether all fragments have arrived.
    pub(super) fn is_complete(&self) -> bool {
        self.joined.is_some()
    }

    /// Appends a fragment.
    ///
    /// # Errors
    ///
    /// The message is too large, or its text is not UTF-8.
    pub(super) fn push(&mut self, mut fragment: &[u8], is_last: bool) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(fragment.len());
        if self.bytes > self.max_bytes {
            return Err(Error::Capacity(CapacityError::MessageTooLong {
                size: self.bytes,
                max_size: self.max_bytes,
            }));
        }
        if self.is_text && !self.utf8.is_valid(fragment, is_last) {
            return Err(Error::Utf8(String::new()));
        }
        while !fragment.is_empty() {
            let room = self
                .chunks
                .back()
                .map_or(0, |last| CHUNK_BYTES - last.len());
            if room == 0 {
                let is_first = self.chunks.is_empty();
                let capacity = if is_first { 0 } else { CHUNK_BYTES };
                self.chunks.push_back(Vec::with_capacity(capacity));
                continue;
            }
            let (fits, rest) = fragment.split_at(fragment.len().min(room));
            if let Some(last) = self.chunks.back_mut() {
                last.extend_from_slice(fits);
            }
            fragment = rest;
        }
        if is_last {
            self.joined = Some(Vec::with_capacity(self.bytes));
        }
        Ok(())
    }

    /// Polls for the whole message, after its last fragment.
    pub(super) fn poll_joined(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let Some(joined) = &mut self.joined else {
            return Poll::Pending;
        };
        while let Some(chunk) = self.chunks.front() {
            ready!(turn::poll_operation(cx));
            turn::spend(cx, CHUNK_OPERATIONS);
            joined.extend_from_slice(chunk);
            self.chunks.pop_front();
        }
        Poll::Ready(std::mem::take(joined).into())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn joined(fragments: &[&[u8]], is_text: bool) -> Result<Bytes, Error> {
        let mut message = FragmentedMessage::new(is_text, 1 << 20);
        for (n, fragment) in fragments.iter().enumerate() {
            assert!(!message.is_complete());
            message.push(fragment, n + 1 == fragments.len())?;
        }
        Ok(poll_fn(|cx| message.poll_joined(cx)).await)
    }

    #[tokio::test]
    async fn a_message_is_its_fragments() {
        let bytes: Vec<u8> = (0..1 << 20).map(|n: u32| (n * 7 / 5) as u8).collect();
        for size in [1, 1_000, 32 * 1024, 1 << 20] {
            let fragments: Vec<_> = bytes.chunks(size).collect();
            assert!(joined(&fragments, false).await.unwrap() == bytes);
        }
        assert_eq!(joined(&[b"", b""], false).await.unwrap(), b"".as_slice());
    }

    #[tokio::test]
    async fn a_message_is_joined_in_turns() {
        let mut message = FragmentedMessage::new(false, 1 << 20);
        message.push(&vec![1; 1 << 20], true).unwrap();
        let task = tokio::spawn(async move {
            let mut polls = 0;
            let message = poll_fn(|cx| {
                polls += 1;
                message.poll_joined(cx)
            });
            (message.await.len(), polls)
        });
        assert_eq!(task.await.unwrap(), (1 << 20, 4));
    }

    #[tokio::test]
    async fn a_message_has_a_largest_size() {
        let too_large = [&[0; 1 << 19][..], &[0; 1 << 19], &[0]];
        let error = joined(&too_large, false).await.unwrap_err();
        assert!(matches!(error, Error::Capacity(_)), "{error:?}");
    }

    #[tokio::test]
    async fn text_is_utf8_across_its_fragments() {
        let text = "aé€𝄞".repeat(100);
        let fragments: Vec<_> = text.as_bytes().chunks(1).collect();
        assert_eq!(joined(&fragments, true).await.unwrap(), text.as_bytes());
        for bad in [&b"\xff"[..], b"a\xe2\x82", b"\xed\xa0\x80"] {
            for size in [1, 2, 9] {
                let fragments: Vec<_> = bad.chunks(size).collect();
                let error = joined(&fragments, true).await.unwrap_err();
                assert!(matches!(error, Error::Utf8(_)), "{error:?}");
                assert_eq!(joined(&fragments, false).await.unwrap(), bad);
            }
        }
    }
}
