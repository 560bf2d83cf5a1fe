//! What a session counts for the server's metrics.
//!
//! Replies that are alike are counted together: those of a batch mostly are.

use std::net::SocketAddr;
use std::time::Instant;

use streamgate_backend::TailEvent;
use streamgate_protocol::error::code::ErrorKind;

use crate::metrics::{Metrics, OperationKind};
use crate::refusal::{Refusal, Refusals};
use crate::session::request_limits::Limited;
use crate::session::request_ticket::RequestTicket;

/// Counts for one socket.
pub(super) struct Recorder<'b> {
    metrics: &'b Metrics,
    refusals: &'b Refusals,
    peer: Option<SocketAddr>,
    /// Replies that are alike and not counted yet.
    run: Option<Run>,
    ongoing: Ongoing,
}

/// What a socket has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ongoing {
    pub(super) in_flight: usize,
    pub(super) waits: usize,
    pub(super) subscriptions: usize,
}

struct Run {
    operation: OperationKind,
    error: Option<ErrorKind>,
    started: Option<Instant>,
    count: u64,
}

impl Ongoing {
    const NONE: Self = Self {
        in_flight: 0,
        waits: 0,
        subscriptions: 0,
    };
}

impl<'b> Recorder<'b> {
    pub(super) fn new(
        metrics: &'b Metrics,
        refusals: &'b Refusals,
        peer: Option<SocketAddr>,
    ) -> Self {
        metrics.sockets_opened.add(1);
        Self {
            metrics,
            refusals,
            peer,
            run: None,
            ongoing: Ongoing::NONE,
        }
    }

    /// Counts and logs a refusal.
    pub(super) fn record_refusal(&self, refusal: Refusal) {
        self.refusals.record(refusal, self.peer);
    }

    /// Counts a pause because a rate is used up.
    pub(super) fn paused(&self, limited: Limited) {
        match limited {
            Limited::Socket => self.metrics.pauses_of_sockets.add(1),
            Limited::Subject => self.metrics.pauses_of_subjects.add(1),
        }
    }

    /// Counts a reply.
    pub(super) fn replied(&mut self, ticket: RequestTicket, error: Option<ErrorKind>) {
        let (operation, started) = (ticket.operation, ticket.started);
        if let Some(run) = &mut self.run
            && (run.operation, run.error, run.started) == (operation, error, started)
        {
            run.count += 1;
            return;
        }
        self.record_run();
        self.run = Some(Run {
            operation,
            error,
            started,
            count: 1,
        });
    }

    /// Counts a request that the session refused at once.
    pub(super) fn refused(&self, operation: OperationKind, error: ErrorKind) {
        self.metrics
            .requests
            .record(operation, Some(error), None, 1);
    }

    /// Counts that a wait was refused because its address has its share.
    pub(super) fn address_has_its_waits(&self) {
        self.refusals
            .record(Refusal::TooManyWaitsOfAddress, self.peer);
    }

    /// Counts an item of a subscription.
    pub(super) fn pushed(&self, item: &TailEvent) {
        match item {
            TailEvent::Segment(segment) => {
                self.metrics
                    .pushed_entries
                    .add(segment.entries().len() as u64);
            }
            TailEvent::Gap(_) => self.metrics.gaps.add(1),
            TailEvent::Skipped(_) => self.metrics.skipped_entries.add(1),
        }
    }

    pub(super) fn received(&self, bytes: usize) {
        self.metrics.bytes_received.add(bytes as u64);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.metrics.bytes_sent.add(bytes as u64);
    }

    /// Counts what a turn of the session has left, once a turn.
    pub(super) fn turn_ended(&mut self, ongoing: Ongoing) {
        self.record_run();
        let before = std::mem::replace(&mut self.ongoing, ongoing);
        if before != ongoing {
            let metrics = self.metrics;
            for (count, before, now) in [
                (&metrics.in_flight, before.in_flight, ongoing.in_flight),
                (&metrics.waits, before.waits, ongoing.waits),
                (
                    &metrics.subscriptions,
                    before.subscriptions,
                    ongoing.subscriptions,
                ),
            ] {
                if now > before {
                    count.add((now - before) as u64);
                } else if now < before {
                    count.subtract((before - now) as u64);
                }
            }
        }
    }

    fn record_run(&mut self) {
        if let Some(run) = self.run.take() {
            let duration = run.started.map(|started| started.elapsed());
            let requests = &self.metrics.requests;
            requests.record(run.operation, run.error, duration, run.count);
        }
    }
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        self.turn_ended(Ongoing::NONE);
    }
}
