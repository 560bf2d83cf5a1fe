//! The task of a connection: writes commands, and passes each answer to its sender.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use redis::{PushKind, RedisError, Value};
use streamgate_backend::turn;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::reader::{AnswerReader, MalformedAnswer};
use super::send_queue::{PipelineAnswers, SendQueue, SendState, SentPipeline, lost};
use crate::connection::invalidations::Invalidations;
use crate::connection::tls;

/// Bytes of a write buffer that are kept after a burst.
const KEPT_BYTES: usize = 256 * 1024;

/// Room for answered pipelines that is kept after a burst.
const KEPT_ANSWERED: usize = 256;

/// Bytes of answers that take as long to decode as one of the operations that a turn has. A turn
/// has 256 KiB: everybody waits for this task, and it must not keep everybody waiting.
const BYTES_PER_OPERATION: usize = 2 * 1024;

/// A future that ends with the connection: with its error, or without one once all handles are
/// dropped.
pub(super) struct ConnectionDriver<S> {
    stream: S,
    queue: Arc<SendQueue>,
    /// Bytes being written, and how many of them were.
    writing: Vec<u8>,
    written: usize,
    reader: AnswerReader,
    /// Pipelines without all their answers, and those answers of the first one that are there.
    pipelines: VecDeque<SentPipeline>,
    answers: Vec<Value>,
    /// Pipelines whose answers are to be sent.
    answered: Vec<(SentPipeline, PipelineAnswers)>,
    /// Number of the last invalidation before the first of these answers.
    last_invalidation: u64,
    /// Receives what Redis pushes. Absent for a connection without `CLIENT TRACKING`.
    invalidations: Option<Arc<Invalidations>>,
    response_timer: ResponseTimer,
}

/// Notices that Redis does not answer. One timer that is reset only when it fires: a timer for
/// each pipeline would cost a system call for each.
struct ResponseTimer {
    timeout: Duration,
    timer: Pin<Box<Sleep>>,
    is_set: bool,
    /// When bytes came, or when a pipeline was sent while none was unanswered.
    since: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ConnectionDriver<S> {
    pub(super) fn new(
        stream: S,
        queue: Arc<SendQueue>,
        response_timeout: Duration,
        invalidations: Option<Arc<Invalidations>>,
    ) -> Self {
        let now = Instant::now();
        Self {
            stream,
            queue,
            writing: Vec::new(),
            written: 0,
            reader: AnswerReader::new(),
            pipelines: VecDeque::new(),
            answers: Vec::new(),
            answered: Vec::new(),
            last_invalidation: 0,
            invalidations,
            response_timer: ResponseTimer {
                timeout: response_timeout,
                timer: Box::pin(tokio::time::sleep_until(now)),
                is_set: false,
                since: now,
            },
        }
    }

    /// Fails every pipeline that is unanswered or queued.
    fn fail_all(&mut self, error: &RedisError) {
        let mut queued = self.queue.lock();
        queued.state = SendState::Lost(error.clone());
        queued.bytes = Vec::new();
        self.pipelines.append(&mut queued.pipelines);
        let unused = queued.unanswered.clear();
        drop(queued);
        drop(unused);
        for SentPipeline { answers, .. } in self.pipelines.drain(..) {
            // A sender that stopped waiting needs no answer.
            let _ = answers.send(Err(error.clone()));
        }
    }

    /// Takes the queued commands. Returns whether there is anything to write.
    fn take_queued(&mut self) -> bool {
        let mut queued = self.queue.lock();
        std::mem::swap(&mut self.writing, &mut queued.bytes);
        let idle = self.pipelines.is_empty();
        self.pipelines.append(&mut queued.pipelines);
        drop(queued);
        if idle && !self.pipelines.is_empty() {
            self.response_timer.start();
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
            self.writing.shrink_to(KEPT_BYTES);
            self.written = 0;
            if !self.take_queued() {
                // A stream with a buffer of its own, such as one of TLS, may still hold bytes.
                return Pin::new(&mut self.stream).poll_flush(cx);
            }
        }
    }

    /// Reads and passes on answers. Is pending until the connection ends.
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
            self.response_timer.since = Instant::now();
            self.reader.filled(filled);
            turn::spend(cx, filled / BYTES_PER_OPERATION);
            let taken = self.take_answers();
            self.send_answers();
            if let Err(MalformedAnswer) = taken {
                let why = "received bytes that are not RESP";
                return Poll::Ready(io::Error::new(io::ErrorKind::InvalidData, why));
            }
        }
    }

    fn take_answers(&mut self) -> Result<(), MalformedAnswer> {
        while let Some(value) = self.reader.next_value()? {
            if let Value::Push { kind, data } = value {
                if let (PushKind::Invalidate, Some(invalidations)) = (kind, &self.invalidations) {
                    invalidations.push(data);
                }
                continue;
            }
            // No command is unanswered, so this is not an answer.
            let first = self.pipelines.front().ok_or(MalformedAnswer)?;
            if self.answers.is_empty() {
                self.answers.reserve_exact(first.commands);
                let invalidations = self.invalidations.as_ref();
                self.last_invalidation = invalidations.map_or(0, |it| it.last());
            }
            self.answers.push(value);
            if self.answers.len() == first.commands
                && let Some(pipeline) = self.pipelines.pop_front()
            {
                let answers = PipelineAnswers {
                    values: std::mem::take(&mut self.answers),
                    last_invalidation: self.last_invalidation,
                };
                self.answered.push((pipeline, answers));
            }
        }
        Ok(())
    }

    /// Sends the answers that were taken. Before that, their commands no longer count as held.
    fn send_answers(&mut self) {
        if self.answered.is_empty() {
            return;
        }
        let bytes = self.answered.iter().map(|(pipeline, _)| pipeline.bytes);
        let bytes = bytes.sum();
        let unused = self.queue.lock().unanswered.remove(bytes);
        drop(unused);
        for (pipeline, answers) in self.answered.drain(..) {
            // A sender that stopped waiting needs no answer.
            let _ = pipeline.answers.send(Ok(answers));
        }
        self.answered.shrink_to(KEPT_ANSWERED);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for ConnectionDriver<S> {
    type Output = Option<RedisError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Before the queue is read, so that a later push wakes this task.
        this.queue.driver.register(cx.waker());
        let written = this.poll_write(cx);
        let error = match (&written, this.poll_read(cx)) {
            (_, Poll::Ready(error)) => Some(error),
            (Poll::Ready(Err(_)), Poll::Pending) => None,
            _ if this
                .response_timer
                .poll(cx, this.pipelines.is_empty())
                .is_ready() =>
            {
                let why = "Redis did not answer in time";
                Some(io::Error::new(io::ErrorKind::TimedOut, why))
            }
            _ => None,
        };
        let error = match (error, written) {
            (Some(error), _) | (None, Poll::Ready(Err(error))) => error,
            (None, Poll::Ready(Ok(())))
                if this.pipelines.is_empty() && this.queue.is_finished() =>
            {
                return Poll::Ready(None);
            }
            _ => return Poll::Pending,
        };
        let error = tls::into_redis_error(error);
        this.fail_all(&error);
        Poll::Ready(Some(error))
    }
}

impl<S> Drop for ConnectionDriver<S> {
    /// Fails every sender, present and future, if the runtime ends before the connection does.
    fn drop(&mut self) {
        let mut queued = self.queue.lock();
        if !matches!(queued.state, SendState::Lost(_)) {
            queued.state = SendState::Lost(lost("the runtime of the connection has ended"));
        }
        queued.pipelines.clear();
        let unused = queued.unanswered.clear();
        drop(queued);
        drop(unused);
    }
}

impl ResponseTimer {
    fn start(&mut self) {
        self.since = Instant::now();
        if !self.is_set {
            self.timer.as_mut().reset(self.since + self.timeout);
            self.is_set = true;
        }
    }

    /// Is ready once a pipeline is unanswered and Redis has been silent for the time-out.
    fn poll(&mut self, cx: &mut Context<'_>, idle: bool) -> Poll<()> {
        while self.is_set {
            ready!(self.timer.as_mut().poll(cx));
            let end = self.since + self.timeout;
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
