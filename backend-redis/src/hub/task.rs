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
use crate::hub::group::wait_queue::Lines;
use crate::hub::message::Message;
use crate::hub::probe::Visit;
use crate::hub::table::Table;
use crate::hub::tracking::link::{Event, Link, Up};
use crate::wire::errors;

/// While somebody waits: how often Redis is asked whether it is there, and groups whether they
/// are. Redis pushes nothing when a group is destroyed or set back, so this is how long a
/// waiting consumer may not know.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// The pause before asking again when Redis answers that it cannot for now.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// Round trips under way at once: enough to keep Redis busy, few enough that after a reconnect
/// the answers for many thousand streams are not all in memory together.
const MAX_VISITS: usize = 1024;

/// Messages handled before Redis is asked: a thousand readers that come together are one read.
const MESSAGES: usize = 1024;

/// What the task owns.
pub(super) struct Task {
    server: Endpoint,
    moves: watch::Receiver<()>,
    availability: RedisAvailability,
    link: Link,
    inbox: UnboundedReceiver<Message>,
    table: Table,
    visits: FuturesUnordered<BoxFuture<'static, Visited>>,
}

struct Visited {
    generation: u64,
    visit: Visit,
    values: Result<Vec<Value>, RedisError>,
}

impl Task {
    pub(super) fn new(
        server: Endpoint,
        availability: RedisAvailability,
        up: Up,
        inbox: UnboundedReceiver<Message>,
        lines: Arc<Lines>,
    ) -> Self {
        let mut table = Table::new(lines);
        table.arm_by_hand(up.blockers.is_some());
        let link = Link::Up(up);
        Self {
            moves: server.master_changes(),
            server,
            availability,
            link,
            inbox,
            table,
            visits: FuturesUnordered::new(),
        }
    }

    /// Ends when nobody can wait any more: every handle and every wait is gone.
    pub(super) async fn run(mut self) {
        let mut messages = Vec::with_capacity(MESSAGES);
        let mut check_at = Instant::now() + CHECK_EVERY;
        let mut retry_at = Instant::now() + RETRY_AFTER;
        loop {
            self.visit();
            self.arm();
            let wake = [
                self.table.next_deadline(),
                (!self.table.is_empty()).then_some(check_at),
                self.table.has_trouble().then_some(retry_at),
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
                Some(visited) = self.visits.next() => {
                    let had_trouble = self.table.has_trouble();
                    self.finish(visited);
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
            if now >= retry_at && self.table.has_trouble() {
                self.table.retry();
            }
        }
    }

    /// Starts the round trips that are due.
    fn visit(&mut self) {
        let Link::Up(up) = &self.link else { return };
        while self.visits.len() < MAX_VISITS
            && let Some(visit) = self.table.next_visit()
        {
            let (generation, mut connection) = (up.generation, up.connection.clone());
            self.visits.push(Box::pin(async move {
                let pipeline = visit.pipeline();
                let values = connection
                    .send_packed_commands(&pipeline, 0, pipeline.len())
                    .await;
                Visited {
                    generation,
                    visit,
                    values,
                }
            }));
        }
    }

    fn handle(&mut self, messages: &mut Vec<Message>) {
        for message in messages.drain(..) {
            self.table.handle(message);
        }
    }

    /// Hands on what has to be armed.
    fn arm(&mut self) {
        if let Link::Up(Up {
            blockers: Some(blockers),
            ..
        }) = &mut self.link
        {
            self.table
                .take_armings()
                .for_each(|arming| blockers.handle(arming));
        }
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Connected => {
                if let Link::Up(up) = &self.link {
                    self.table.arm_by_hand(up.blockers.is_some());
                }
                self.table.all_changed();
            }
            Event::Pushed(pushed) if pushed.all => self.table.all_changed(),
            Event::Pushed(pushed) => {
                let now = Instant::now();
                for stream in &pushed.streams {
                    self.table.changed(stream, now);
                }
            }
            Event::Alive => self.table.recheck(),
            Event::Lost => self.lost(),
        }
    }

    fn finish(
        &mut self,
        Visited {
            generation,
            visit,
            values,
        }: Visited,
    ) {
        let unanswered = values.is_err();
        if let Ok(values) = &values
            && values.iter().any(errors::is_read_only)
        {
            self.server.suspect_failover();
        }
        self.table.finish(visit, values, Instant::now());
        if let Link::Up(up) = &self.link
            && unanswered
            && up.generation == generation
        {
            self.lost();
        }
    }

    fn expire(&mut self, now: Instant) {
        let down = matches!(self.link, Link::Down(_)).then(errors::disconnected);
        self.table.expire(now, down.as_ref());
    }

    fn lost(&mut self) {
        self.link.reconnect(&self.server, &self.availability);
        self.table
            .disconnected(Instant::now(), &errors::disconnected());
    }
}
