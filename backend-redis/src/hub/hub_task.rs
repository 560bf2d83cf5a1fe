//! The hub's task: moves messages, probes and invalidations between the callers, the table and
//! Redis.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use redis::{RedisError, Value};
use streamgate_backend::turn;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::connection::command_connection::{CommandConnection, ConnectionStatus, SendError};
use crate::connection::invalidations::{InvalidationBatch, Invalidations};
use crate::hub::group::admission::{GroupKey, WaitQueues};
use crate::hub::message::HubMessage;
use crate::hub::probe::Probe;
use crate::hub::tracking::polling::Polling;
use crate::hub::wait_table::WaitTable;
use crate::operation::entry_sizes::EntrySizes;
use crate::wire::errors;

/// Pause before a stream is probed again after a transient error.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// Maximum number of probes in flight: enough to keep Redis busy, and few enough that after a
/// reconnect the replies for many thousand streams are not all in memory at once.
const MAX_PROBES: usize = 1024;

/// Maximum number of messages that are handled before the next probe. A thousand readers of a
/// stream that come together cost one read.
const MAX_MESSAGES: usize = 1024;

/// Messages that are handled between two looks at the clock.
const MESSAGES_PER_LOOK: usize = 64;

/// What the hub's task receives from the callers.
pub(super) struct HubInbox {
    pub(super) messages: UnboundedReceiver<HubMessage>,
    /// Groups whose first attempt has ended.
    pub(super) ended_attempts: UnboundedReceiver<GroupKey>,
}

pub(super) struct HubTask {
    commands: CommandConnection,
    invalidations: Arc<Invalidations>,
    status: watch::Receiver<ConnectionStatus>,
    /// The generation of the connection that is up. Absent once it is known to be lost.
    connected: Option<u64>,
    inbox: HubInbox,
    table: WaitTable,
    probes: FuturesUnordered<BoxFuture<'static, FinishedProbe>>,
    /// Present while Redis refuses `CLIENT TRACKING`.
    polling: Option<Polling>,
}

/// What the hub's task waits for.
enum HubEvent {
    /// Messages of the callers.
    Messages,
    AttemptEnded(GroupKey),
    Invalidated(InvalidationBatch),
    StatusChanged,
    ProbeFinished(FinishedProbe),
    /// Polling has found changed streams.
    Polled(Vec<Arc<[u8]>>),
    RecheckGoesOn,
    /// A deadline, or the end of a pause.
    TimePassed,
}

struct FinishedProbe {
    /// The connection on which the probe was sent.
    generation: u64,
    probe: Probe,
    values: Result<Vec<Value>, RedisError>,
}

impl HubTask {
    pub(super) fn new(
        commands: CommandConnection,
        inbox: HubInbox,
        wait_queues: Arc<WaitQueues>,
        sizes: Arc<EntrySizes>,
    ) -> Self {
        let mut task = Self {
            invalidations: Arc::clone(commands.invalidations()),
            status: commands.status(),
            commands,
            connected: None,
            inbox,
            table: WaitTable::new(wait_queues, sizes),
            probes: FuturesUnordered::new(),
            polling: None,
        };
        task.take_status();
        task
    }

    /// Runs until every handle of the hub, every wait and every tail is dropped.
    pub(super) async fn run(mut self) {
        let mut messages = Vec::with_capacity(MAX_MESSAGES);
        let mut retry_at = Instant::now() + RETRY_AFTER;
        self.start_probes();
        loop {
            let is_used = !self.table.is_empty();
            let polling = self.polling.as_ref().filter(|_| is_used);
            let wake = [
                self.table.next_deadline(),
                self.table.awaits_retry().then_some(retry_at),
                polling.and_then(Polling::wake),
            ];
            let wake = wake.into_iter().flatten().min();
            let polled = async {
                match &mut self.polling {
                    Some(polling) => polling.changed().await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                received = self.inbox.messages.recv_many(&mut messages, MAX_MESSAGES) => {
                    if received == 0 {
                        return;
                    }
                    HubEvent::Messages
                }
                Some(key) = self.inbox.ended_attempts.recv() => HubEvent::AttemptEnded(key),
                batch = self.invalidations.next() => HubEvent::Invalidated(batch),
                // `self.commands` keeps the sender alive.
                Ok(()) = self.status.changed() => HubEvent::StatusChanged,
                Some(finished) = self.probes.next() => HubEvent::ProbeFinished(finished),
                changed = polled => HubEvent::Polled(changed),
                () = std::future::ready(()), if self.table.is_rechecking() => HubEvent::RecheckGoesOn,
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    HubEvent::TimePassed
                }
            };
            let mut began = std::time::Instant::now();
            match event {
                HubEvent::Messages => {
                    while !messages.is_empty() {
                        let count = messages.len().min(MESSAGES_PER_LOOK);
                        for message in messages.drain(..count) {
                            self.table.handle(message);
                        }
                        turn::pass_time(began.elapsed()).await;
                        began = std::time::Instant::now();
                    }
                }
                HubEvent::AttemptEnded(key) => self.table.attempt_ended(&key),
                HubEvent::Invalidated(batch) => self.take_invalidations(batch),
                HubEvent::StatusChanged => self.take_status(),
                HubEvent::ProbeFinished(finished) => {
                    let awaited_retry = self.table.awaits_retry();
                    self.finish_probe(finished);
                    if !awaited_retry {
                        retry_at = Instant::now() + RETRY_AFTER;
                    }
                }
                HubEvent::Polled(changed) => {
                    let now = Instant::now();
                    changed
                        .iter()
                        .for_each(|stream| self.table.changed(stream, now));
                }
                HubEvent::RecheckGoesOn => self.table.continue_recheck(),
                HubEvent::TimePassed => {}
            }
            let now = Instant::now();
            self.expire(now);
            self.table.end_throttles(now);
            if now >= retry_at && self.table.awaits_retry() {
                self.table.retry();
            }
            if let Some(polling) = &mut self.polling
                && self.connected.is_some()
            {
                polling.poll(&self.commands, now, || self.table.polled_streams());
            }
            self.start_probes();
            turn::pass_time(began.elapsed()).await;
        }
    }

    fn start_probes(&mut self) {
        while self.connected.is_some()
            && self.probes.len() < MAX_PROBES
            && let Some(mut probe) = self.table.next_probe()
        {
            probe.set_stream_info(self.commands.has_stream_info());
            let (generation, sent) = self
                .commands
                .send_encoded(&mut |packed| probe.encode(packed));
            match sent {
                Ok(sent) => self.probes.push(Box::pin(async move {
                    FinishedProbe {
                        generation,
                        values: sent.await,
                        probe,
                    }
                })),
                Err(error) => {
                    self.table.finish_probe(probe, Err(error), Instant::now());
                    self.disconnected();
                }
            }
        }
    }

    fn take_status(&mut self) {
        let status = *self.status.borrow_and_update();
        if !status.is_up {
            return self.disconnected();
        }
        if self.connected != Some(status.generation) {
            // It may have been replaced without a moment in which there was none.
            self.disconnected();
            self.connected = Some(status.generation);
            self.polling = (!status.tracks).then(|| Polling::new(Instant::now()));
            self.table.connected(status.generation, status.tracks);
        } else {
            // Redis has answered a ping, so a group read is unlikely to remain unanswered.
            self.table.start_recheck();
        }
    }

    fn take_invalidations(&mut self, batch: InvalidationBatch) {
        let now = Instant::now();
        if let Some(number) = batch.all {
            self.table.all_invalidated(number);
        }
        for (stream, number) in &batch.streams {
            self.table.invalidated(stream, *number, now);
        }
    }

    fn finish_probe(&mut self, finished: FinishedProbe) {
        let FinishedProbe {
            generation,
            probe,
            values,
        } = finished;
        let is_unanswered = values.is_err();
        let values = values.map_err(SendError::NoAnswer);
        self.table.finish_probe(probe, values, Instant::now());
        // Its loss may not have been announced yet.
        if is_unanswered && self.connected == Some(generation) {
            self.disconnected();
        }
    }

    fn expire(&mut self, now: Instant) {
        let down = self.connected.is_none().then(errors::disconnected);
        self.table.expire(now, down.as_ref());
    }

    /// Stops probing until a new connection is announced.
    fn disconnected(&mut self) {
        if self.connected.take().is_some() {
            self.polling = None;
            self.table
                .disconnected(Instant::now(), &errors::disconnected());
        }
    }
}
