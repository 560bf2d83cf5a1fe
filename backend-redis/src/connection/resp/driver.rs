//! The task of a connection: writes what was asked, and gives each answer to who asked.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use redis::{RedisError, Value};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::connection::barrier::BarrierTimeout;
use crate::connection::endpoint::RESPONSE_TIMEOUT;
use crate::connection::resp::reader::{AnswerReader, MalformedAnswer};
use crate::connection::resp::{SendState, SentPipeline, SharedQueue};

/// A future that ends with the connection: with its error, or without one when all handles are
/// gone.
pub(super) struct ConnectionDriver<S> {
    stream: S,
    shared: Arc<SharedQueue>,
    /// Being written, and how much of it was.
    writing: Vec<u8>,
    written: usize,
    reader: AnswerReader,
    /// Who waits for answers, and which of the first one's are there.
    asked: VecDeque<SentPipeline>,
    answers: Vec<Value>,
    silence: ResponseTimer,
    patience: BarrierTimeout,
}

/// Notices that Redis does not answer. One timer, which is set anew only when it rings: a timer for
/// each pipeline would cost a system call for each.
struct ResponseTimer {
    timer: Pin<Box<Sleep>>,
    is_set: bool,
    /// When something came, or was asked for while nothing else was.
    since: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ConnectionDriver<S> {
    pub(super) fn new(stream: S, shared: Arc<SharedQueue>) -> Self {
        let now = Instant::now();
        Self {
            stream,
            shared,
            writing: Vec::new(),
            written: 0,
            reader: AnswerReader::new(),
            asked: VecDeque::new(),
            answers: Vec::new(),
            silence: ResponseTimer {
                timer: Box::pin(tokio::time::sleep_until(now)),
                is_set: false,
                since: now,
            },
            patience: BarrierTimeout::default(),
        }
    }

    /// Ends everything that waits.
    fn lose(&mut self, error: &RedisError) {
        let mut queue = self.shared.queue();
        queue.state = SendState::Lost(error.clone());
        queue.outgoing = Vec::new();
        self.asked.append(&mut queue.asked);
        drop(queue);
        for SentPipeline { answers, .. } in self.asked.drain(..) {
            // Whoever stopped waiting needs no answer.
            let _ = answers.send(Err(error.clone()));
        }
    }

    /// Takes what was asked. Whether there is anything to write.
    fn take(&mut self, cx: &mut Context<'_>) -> bool {
        let mut queue = self.shared.queue();
        // Under the lock: what was sent after a hold began is either not there yet, or held.
        if self
            .shared
            .barrier
            .poll_open(&mut self.patience, cx)
            .is_pending()
        {
            return false;
        }
        std::mem::swap(&mut self.writing, &mut queue.outgoing);
        let idle = self.asked.is_empty();
        self.asked.append(&mut queue.asked);
        drop(queue);
        if idle && !self.asked.is_empty() {
            self.silence.begin();
        }
        !self.writing.is_empty()
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while self.written < self.writing.len() {
                let rest = &self.writing[self.written..];
                let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.written += written;
            }
            self.writing.clear();
            self.written = 0;
            if !self.take(cx) {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Pending until the connection ends.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let mut space = ReadBuf::new(self.reader.space());
            if let Err(error) = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space)) {
                return Poll::Ready(error);
            }
            let filled = space.filled().len();
            if filled == 0 {
                return Poll::Ready(io::ErrorKind::UnexpectedEof.into());
            }
            self.silence.since = Instant::now();
            self.reader.filled(filled);
            if let Err(MalformedAnswer) = self.answer() {
                let why = "what came is not an answer of Redis";
                return Poll::Ready(io::Error::new(io::ErrorKind::InvalidData, why));
            }
        }
    }

    fn answer(&mut self) -> Result<(), MalformedAnswer> {
        while let Some(value) = self.reader.next()? {
            // An answer to nothing.
            let first = self.asked.front().ok_or(MalformedAnswer)?;
            if self.answers.is_empty() {
                self.answers.reserve_exact(first.commands);
            }
            self.answers.push(value);
            if self.answers.len() == first.commands
                && let Some(SentPipeline { answers, .. }) = self.asked.pop_front()
            {
                // Whoever stopped waiting needs no answer.
                let _ = answers.send(Ok(std::mem::take(&mut self.answers)));
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for ConnectionDriver<S> {
    type Output = Option<RedisError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Before the queue is looked at, so that what comes then wakes.
        this.shared.driver.register(cx.waker());
        let written = this.poll_write(cx);
        let lost = match (&written, this.poll_read(cx)) {
            (_, Poll::Ready(error)) => Some(error),
            (Poll::Ready(Err(_)), Poll::Pending) => None,
            _ if this.silence.poll(cx, this.asked.is_empty()).is_ready() => {
                let why = "Redis is silent";
                Some(io::Error::new(io::ErrorKind::TimedOut, why))
            }
            _ => None,
        };
        let lost = match (lost, written) {
            (Some(error), _) | (None, Poll::Ready(Err(error))) => error,
            (None, Poll::Ready(Ok(()))) if this.asked.is_empty() && this.shared.is_left() => {
                return Poll::Ready(None);
            }
            _ => return Poll::Pending,
        };
        let error = RedisError::from(lost);
        this.lose(&error);
        Poll::Ready(Some(error))
    }
}

/// Its runtime ends: whoever waits is told, and whoever comes.
impl<S> Drop for ConnectionDriver<S> {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        if !matches!(queue.state, SendState::Lost(_)) {
            queue.state = SendState::Lost(super::lost("the runtime of the connection has ended"));
        }
        queue.asked.clear();
    }
}

impl SharedQueue {
    fn is_left(&self) -> bool {
        let queue = self.queue();
        matches!(queue.state, SendState::Left) && queue.asked.is_empty()
    }
}

impl ResponseTimer {
    fn begin(&mut self) {
        self.since = Instant::now();
        if !self.is_set {
            self.timer.as_mut().reset(self.since + RESPONSE_TIMEOUT);
            self.is_set = true;
        }
    }

    /// Ready if something was asked and Redis has been silent since.
    fn poll(&mut self, cx: &mut Context<'_>, idle: bool) -> Poll<()> {
        while self.is_set {
            ready!(self.timer.as_mut().poll(cx));
            let end = self.since + RESPONSE_TIMEOUT;
            if idle {
                self.is_set = false;
            } else if Instant::now() >= end {
                return Poll::Ready(());
            } else {
                self.timer.as_mut().reset(end);
            }
        }
        Poll::Pending
    }
}
