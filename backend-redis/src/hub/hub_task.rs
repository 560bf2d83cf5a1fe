//! The hub's task: moves messages, probes and invalidations between the callers, the table and
//! Redis.

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
use crate::hub::group::admission::{GroupKey, WaitQueues};
use crate::hub::message::HubMessage;
use crate::hub::probe::Probe;
use crate::hub::tracking::hub_connection::{HubConnection, HubConnectionEvent, TrackedConnection};
use crate::hub::wait_table::WaitTable;
use crate::wire::errors;

/// Interval of the pings, and of the rechecks that follow them, while somebody waits. Redis pushes
/// nothing when a group is destroyed or its position is set back, so a waiting consumer may learn
/// of that this much later.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// Pause before a stream is probed again after a transient error.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// Maximum number of probes in flight: enough to keep Redis busy, and few enough that after a
/// reconnect the replies for many thousand streams are not all in memory at once.
const MAX_PROBES: usize = 1024;

/// Maximum number of messages that are handled before the next probe. A thousand readers of a
/// stream that come together cost one read.
const MAX_MESSAGES: usize = 1024;

/// What the hub's task receives from the callers.
pub(super) struct HubInbox {
    pub(super) messages: UnboundedReceiver<HubMessage>,
    /// Groups whose first attempt has ended.
    pub(super) ended_attempts: UnboundedReceiver<GroupKey>,
}

pub(super) struct HubTask {
    endpoint: Endpoint,
    master_changes: watch::Receiver<()>,
    availability: RedisAvailability,
    connection: HubConnection,
    inbox: HubInbox,
    table: WaitTable,
    probes: FuturesUnordered<BoxFuture<'static, FinishedProbe>>,
}

struct FinishedProbe {
    /// The connection on which the probe was sent.
    generation: u64,
    probe: Probe,
    values: Result<Vec<Value>, RedisError>,
}

impl HubTask {
    pub(super) fn new(
        endpoint: Endpoint,
        availability: RedisAvailability,
        connection: TrackedConnection,
        inbox: HubInbox,
        wait_queues: Arc<WaitQueues>,
    ) -> Self {
        let mut table = WaitTable::new(wait_queues);
        table.use_fallback(connection.fallback.is_some());
        Self {
            master_changes: endpoint.master_changes(),
            endpoint,
            availability,
            connection: HubConnection::Up(connection),
            inbox,
            table,
            probes: FuturesUnordered::new(),
        }
    }

    /// Runs until every handle of the hub, every wait and every tail is dropped.
    pub(super) async fn run(mut self) {
        let mut messages = Vec::with_capacity(MAX_MESSAGES);
        let mut check_at = Instant::now() + CHECK_EVERY;
        let mut retry_at = Instant::now() + RETRY_AFTER;
        loop {
            self.start_probes();
            self.send_fallback_requests();
            let wake = [
                self.table.next_deadline(),
                (!self.table.is_empty()).then_some(check_at),
                self.table.awaits_retry().then_some(retry_at),
            ];
            let wake = wake.into_iter().flatten().min();
            tokio::select! {
                received = self.inbox.messages.recv_many(&mut messages, MAX_MESSAGES) => {
                    if received == 0 {
                        return;
                    }
                    for message in messages.drain(..) {
                        self.table.handle(message);
                    }
                }
                Some(key) = self.inbox.ended_attempts.recv() => self.table.attempt_ended(&key),
                event = self.connection.next() => self.handle_event(event),
                // `self.endpoint` keeps the sender alive.
                Ok(()) = self.master_changes.changed() => self.reconnect(),
                Some(finished) = self.probes.next() => {
                    let awaited_retry = self.table.awaits_retry();
                    self.finish_probe(finished);
                    if !awaited_retry {
                        retry_at = Instant::now() + RETRY_AFTER;
                    }
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
            let now = Instant::now();
            self.expire(now);
            self.table.end_throttles(now);
            if now >= check_at {
                check_at = now + CHECK_EVERY;
                if !self.table.is_empty() {
                    self.connection.ping();
                }
            }
            if now >= retry_at && self.table.awaits_retry() {
                self.table.retry();
            }
        }
    }

    fn start_probes(&mut self) {
        let HubConnection::Up(up) = &self.connection else {
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

    fn send_fallback_requests(&mut self) {
        if let HubConnection::Up(up) = &mut self.connection
            && let Some(fallback) = &mut up.fallback
        {
            let requests = self.table.take_fallback_requests();
            requests.for_each(|request| fallback.handle(request));
        }
    }

    fn handle_event(&mut self, event: HubConnectionEvent) {
        match event {
            HubConnectionEvent::Connected => {
                if let HubConnection::Up(up) = &self.connection {
                    self.table.use_fallback(up.fallback.is_some());
                }
                self.table.all_changed();
            }
            HubConnectionEvent::Invalidated(batch) if batch.all => self.table.all_changed(),
            HubConnectionEvent::Invalidated(batch) => {
                let now = Instant::now();
                for stream in &batch.streams {
                    self.table.invalidated(stream, now);
                }
            }
            HubConnectionEvent::Alive => self.table.recheck(),
            HubConnectionEvent::Lost => self.reconnect(),
        }
    }

    fn finish_probe(&mut self, finished: FinishedProbe) {
        let FinishedProbe {
            generation,
            probe,
            values,
        } = finished;
        let is_unanswered = values.is_err();
        if let Ok(values) = &values
            && values.iter().any(errors::is_read_only)
        {
            self.endpoint.suspect_failover();
        }
        self.table.finish_probe(probe, values, Instant::now());
        if let HubConnection::Up(up) = &self.connection
            && is_unanswered
            && up.generation == generation
        {
            self.reconnect();
        }
    }

    fn expire(&mut self, now: Instant) {
        let is_down = matches!(self.connection, HubConnection::Connecting(_));
        let down = is_down.then(errors::disconnected);
        self.table.expire(now, down.as_ref());
    }

    fn reconnect(&mut self) {
        self.connection
            .reconnect(&self.endpoint, &self.availability);
        self.table
            .disconnected(Instant::now(), &errors::disconnected());
    }
}
