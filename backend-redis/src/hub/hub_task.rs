//! The hub's task: the table, the link and what goes between them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use redis::{RedisError, Value};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::connection::availability::RedisAvailability;
use crate::connection::endpoint::Endpoint;
use crate::hub::group::wait_queue::WaitQueues;
use crate::hub::message::HubMessage;
use crate::hub::probe::Probe;
use crate::hub::tracking::hub_connection::{HubConnection, HubConnectionEvent, TrackedConnection};
use crate::hub::wait_table::WaitTable;
use crate::wire::errors;

/// While somebody waits: how often Redis is asked whether it is there, and groups whether they
/// are. Redis invalidations nothing when a group is destroyed or set back, so this is how long a
/// waiting consumer may not know.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// The pause before asking again when Redis answers that it cannot for now.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// Round trips under way at once: enough to keep Redis busy, few enough that after a reconnect
/// the answers for many thousand streams are not all in memory together.
const MAX_PROBES: usize = 1024;

/// Messages handled before Redis is asked: a thousand readers that come together are one read.
const MESSAGES: usize = 1024;

/// What the task owns.
pub(super) struct HubTask {
    server: Endpoint,
    moves: watch::Receiver<()>,
    availability: RedisAvailability,
    link: HubConnection,
    inbox: UnboundedReceiver<HubMessage>,
    table: WaitTable,
    probes: FuturesUnordered<BoxFuture<'static, FinishedProbe>>,
}

struct FinishedProbe {
    generation: u64,
    probe: Probe,
    values: Result<Vec<Value>, RedisError>,
}

impl HubTask {
    pub(super) fn new(
        server: Endpoint,
        availability: RedisAvailability,
        up: TrackedConnection,
        inbox: UnboundedReceiver<HubMessage>,
        wait_queues: Arc<WaitQueues>,
    ) -> Self {
        let mut table = WaitTable::new(wait_queues);
        table.use_fallback(up.fallback.is_some());
        let link = HubConnection::Up(up);
        Self {
            moves: server.master_changes(),
            server,
            availability,
            link,
            inbox,
            table,
            probes: FuturesUnordered::new(),
        }
    }

    /// Ends when nobody can wait any more: every handle and every wait is gone.
    pub(super) async fn run(mut self) {
        let mut messages = Vec::with_capacity(MESSAGES);
        let mut check_at = Instant::now() + CHECK_EVERY;
        let mut retry_at = Instant::now() + RETRY_AFTER;
        loop {
            self.probe();
            self.arm();
            let wake = [
                self.table.next_deadline(),
                (!self.table.is_empty()).then_some(check_at),
                self.table.awaits_retry().then_some(retry_at),
            ];
            let wake = wake.into_iter().flatten().min();
            tokio::select! {
                received = self.inbox.recv_many(&mut messages, MESSAGES) => {
                    if received == 0 {
                        return;
                    }
                    self.handle(&mut messages);
                }
                event = self.link.next() => self.on(event),
                // The server that tells of it is this one.
                Ok(()) = self.moves.changed() => self.lost(),
                Some(finished) = self.probes.next() => {
                    let had_trouble = self.table.awaits_retry();
                    self.finish(finished);
                    if !had_trouble {
                        retry_at = Instant::now() + RETRY_AFTER;
                    }
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
            let now = Instant::now();
            self.expire(now);
            self.table.rested(now);
            if now >= check_at {
                check_at = now + CHECK_EVERY;
                if !self.table.is_empty() {
                    self.link.ping();
                }
            }
            if now >= retry_at && self.table.awaits_retry() {
                self.table.retry();
            }
        }
    }

    /// Starts the round trips that are due.
    fn probe(&mut self) {
        let HubConnection::Up(up) = &self.link else {
            return;
        };
        while self.probes.len() < MAX_PROBES
            && let Some(probe) = self.table.next_probe()
        {
            let (generation, mut connection) = (up.generation, up.connection.clone());
            self.probes.push(Box::pin(async move {
                let pipeline = probe.pipeline();
                let values = connection
                    .send_packed_commands(&pipeline, 0, pipeline.len())
                    .await;
                FinishedProbe {
                    generation,
                    probe,
                    values,
                }
            }));
        }
    }

    fn handle(&mut self, messages: &mut Vec<HubMessage>) {
        for message in messages.drain(..) {
            self.table.handle(message);
        }
    }

    /// Hands on what has to be armed.
    fn arm(&mut self) {
        if let HubConnection::Up(TrackedConnection {
            fallback: Some(fallback),
            ..
        }) = &mut self.link
        {
            self.table
                .take_fallback_requests()
                .for_each(|request| fallback.handle(request));
        }
    }

    fn on(&mut self, event: HubConnectionEvent) {
        match event {
            HubConnectionEvent::Connected => {
                if let HubConnection::Up(up) = &self.link {
                    self.table.use_fallback(up.fallback.is_some());
                }
                self.table.all_changed();
            }
            HubConnectionEvent::Invalidated(pushed) if pushed.all => self.table.all_changed(),
            HubConnectionEvent::Invalidated(pushed) => {
                let now = Instant::now();
                for stream in &pushed.streams {
                    self.table.changed(stream, now);
                }
            }
            HubConnectionEvent::Alive => self.table.recheck(),
            HubConnectionEvent::Lost => self.lost(),
        }
    }

    fn finish(
        &mut self,
        FinishedProbe {
            generation,
            probe,
            values,
        }: FinishedProbe,
    ) {
        let unanswered = values.is_err();
        if let Ok(values) = &values
            && values.iter().any(errors::is_read_only)
        {
            self.server.suspect_failover();
        }
        self.table.finish(probe, values, Instant::now());
        if let HubConnection::Up(up) = &self.link
            && unanswered
            && up.generation == generation
        {
            self.lost();
        }
    }

    fn expire(&mut self, now: Instant) {
        let down = matches!(self.link, HubConnection::Connecting(_)).then(errors::disconnected);
        self.table.expire(now, down.as_ref());
    }

    fn lost(&mut self) {
        self.link.reconnect(&self.server, &self.availability);
        self.table
            .disconnected(Instant::now(), &errors::disconnected());
    }
}
