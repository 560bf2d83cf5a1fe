//! A connection that carries pages of large reads and of backlogs, and nothing else.
//!
//! Redis closes a connection whose unread answers exceed `client-output-buffer-limit`. Once it has
//! closed one while a page was being read, pages travel here: if a page is too large, no other
//! operation loses its connection with it. The connection is opened when a page needs it.
//!
//! All who need it share one attempt to open it, and its error; soon after that, a page fails at
//! once. So does a page of a read while there is no connection for commands. So reads do not pile
//! up while Redis is unavailable. A page of a backlog may have been what the connection for
//! commands was lost with, and does not wait for that one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use redis::Value;
use streamgate_protocol::error::code;
use streamgate_protocol::{CacheError, CacheResult};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::connection::availability::RedisAvailability;
use crate::connection::command_connection::{ConnectionStatus, SendError};
use crate::connection::endpoint::Endpoint;
use crate::connection::reconnect_pause::ReconnectPause;
use crate::connection::resp::RespConnection;
use crate::wire::errors;
use crate::wire::packing::PackedCommands;

/// How long pages fail at once after an attempt to connect failed.
const FAILS_AT_ONCE: Duration = Duration::from_secs(1);

/// Shares the connection. Clones are cheap; it ends with the last.
#[derive(Clone)]
pub(crate) struct PageConnection(Arc<PageConnectionState>);

struct PageConnectionState {
    endpoint: Endpoint,
    commands: watch::Receiver<ConnectionStatus>,
    availability: RedisAvailability,
    current: Mutex<CurrentConnection>,
}

struct CurrentConnection {
    connection: Option<RespConnection>,
    /// That of the connection for commands when this one was opened.
    generation: u64,
    /// The attempt to open the connection that is under way.
    attempt: Option<ConnectionAttempt>,
    last_failure: Option<(Instant, CacheError)>,
    pause: ReconnectPause,
}

type ConnectionAttempt = Shared<BoxFuture<'static, CacheResult<RespConnection>>>;

impl PageConnection {
    /// Returns a connection that is not open yet. It is opened again whenever `commands`, the
    /// status of the connection for commands, has another generation: after a failover both lead
    /// to the same Redis.
    pub(crate) fn new(
        endpoint: Endpoint,
        commands: watch::Receiver<ConnectionStatus>,
        availability: RedisAvailability,
    ) -> Self {
        Self(Arc::new(PageConnectionState {
            endpoint,
            commands,
            availability,
            current: Mutex::new(CurrentConnection {
                connection: None,
                generation: 0,
                attempt: None,
                last_failure: None,
                pause: ReconnectPause::new(),
            }),
        }))
    }

    /// Sends commands and returns their answers. Opens the connection first if there is none, after
    /// a pause that grows while connections are lost soon.
    pub(crate) async fn send(&self, packed: PackedCommands) -> Result<Vec<Value>, SendError> {
        let connection = self.connection().await.map_err(SendError::NotSent)?;
        self.send_on(connection, packed).await
    }

    /// Does the same, but opens no connection while there is none for commands: it fails then as
    /// commands do.
    pub(crate) async fn send_if_available(
        &self,
        packed: PackedCommands,
    ) -> Result<Vec<Value>, SendError> {
        let mut commands = self.0.commands.clone();
        let connection = tokio::select! {
            biased;
            // If the sender has gone, so has the backend.
            _ = commands.wait_for(|status| !status.is_up) => {
                Err(self.0.availability.no_connection())
            }
            connection = self.connection() => connection,
        };
        let connection = connection.map_err(SendError::NotSent)?;
        self.send_on(connection, packed).await
    }

    async fn send_on(
        &self,
        connection: RespConnection,
        packed: PackedCommands,
    ) -> Result<Vec<Value>, SendError> {
        let sent = connection.send(packed, None);
        self.0.endpoint.counters().round_trips.add(1);
        let answers = sent.map_err(SendError::from)?.await;
        Ok(answers.map_err(SendError::NoAnswer)?.values)
    }

    async fn connection(&self) -> CacheResult<RespConnection> {
        let state = &self.0;
        let generation = state.commands.borrow().generation;
        let attempt = {
            let mut current = state.current();
            if let Some(connection) = &current.connection
                && !connection.is_lost()
                && current.generation == generation
            {
                return Ok(connection.clone());
            }
            if let Some((at, error)) = &current.last_failure
                && at.elapsed() < FAILS_AT_ONCE
            {
                return Err(error.clone());
            }
            current.connection = None;
            let begin = || state.begin_attempt(generation);
            current.attempt.get_or_insert_with(begin).clone()
        };
        attempt.await
    }
}

impl PageConnectionState {
    /// Spawns a task that opens the connection, whether or not somebody waits for it.
    fn begin_attempt(self: &Arc<Self>, generation: u64) -> ConnectionAttempt {
        let state = Arc::clone(self);
        let opening = tokio::spawn(async move {
            let pause = state.current().pause.next_pause();
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let opened = RespConnection::open(&state.endpoint, None, || ()).await;
            let mut current = state.current();
            current.attempt = None;
            match opened {
                Ok(opened) => {
                    current.pause.connected();
                    current.last_failure = None;
                    current.generation = generation;
                    current.connection = Some(opened.connection.clone());
                    Ok(opened.connection)
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot open the connection for pages");
                    // Clients of a server must not learn Redis's address, and cannot change a setting.
                    let error = match error.code() {
                        code::DISCONNECTED | code::CONFIG => errors::disconnected(),
                        _ => error,
                    };
                    current.last_failure = Some((Instant::now(), error.clone()));
                    Err(error)
                }
            }
        });
        // The task is lost only if its runtime ends.
        let opened = opening.map(|opened| opened.unwrap_or_else(|_| Err(errors::hub_ended())));
        opened.boxed().shared()
    }

    fn current(&self) -> MutexGuard<'_, CurrentConnection> {
        // Nothing panics under the lock.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::net::TcpListener;

    use super::*;
    use crate::connection::endpoint::{CONNECT_TIMEOUT, ConnectionSettings};
    use crate::wire::commands;

    /// Returns the connection of a server that accepts connections and never answers.
    async fn silent(is_up: bool) -> (TcpListener, watch::Sender<ConnectionStatus>, PageConnection) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let endpoint = Endpoint::new(&url, ConnectionSettings::default()).unwrap();
        let (sender, status) = watch::channel(ConnectionStatus {
            generation: 0,
            is_up,
            tracks: true,
            pongs: 0,
        });
        let connection = PageConnection::new(endpoint, status, RedisAvailability::default());
        (listener, sender, connection)
    }

    async fn send_many(connection: &PageConnection) {
        let sends = (0..100).map(|_| async {
            let mut packed = PackedCommands::default();
            commands::ping(&mut packed);
            match connection.send_if_available(packed).await {
                Err(SendError::NotSent(error)) => assert_eq!(error, errors::disconnected()),
                other => panic!("{other:?}"),
            }
        });
        join_all(sends).await;
    }

    #[tokio::test(start_paused = true)]
    async fn all_pages_share_one_attempt_to_connect() {
        let (_listener, _status, connection) = silent(true).await;
        let begun = Instant::now();
        send_many(&connection).await;
        assert!(begun.elapsed() < 2 * CONNECT_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn pages_fail_as_soon_as_redis_is_unavailable() {
        let (_listener, status, connection) = silent(true).await;
        let begun = Instant::now();
        let is_down = async {
            tokio::time::sleep(CONNECT_TIMEOUT / 5).await;
            status.send_modify(|status| status.is_up = false);
        };
        tokio::join!(send_many(&connection), is_down);
        send_many(&connection).await;
        assert!(begun.elapsed() < CONNECT_TIMEOUT / 2);
    }
}
