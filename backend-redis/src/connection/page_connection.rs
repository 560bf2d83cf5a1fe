//! A connection that carries pages of large reads and of backlogs, and nothing else.
//!
//! Redis closes a connection whose unread answers exceed `client-output-buffer-limit`. Once it has
//! closed one while a page was being read, pages travel here: if a page is too large, no other
//! operation loses its connection with it. The connection is opened when a page needs it.

use std::sync::Arc;

use redis::Value;
use tokio::sync::{Mutex, watch};

use crate::connection::command_connection::{ConnectionStatus, SendError};
use crate::connection::endpoint::Endpoint;
use crate::connection::reconnect_pause::ReconnectPause;
use crate::connection::resp::RespConnection;
use crate::wire::packing::PackedCommands;

/// Shares the connection. Clones are cheap; it ends with the last.
#[derive(Clone)]
pub(crate) struct PageConnection(Arc<PageConnectionState>);

struct PageConnectionState {
    endpoint: Endpoint,
    commands: watch::Receiver<ConnectionStatus>,
    current: Mutex<CurrentConnection>,
}

struct CurrentConnection {
    connection: Option<RespConnection>,
    /// That of the connection for commands when this one was opened.
    generation: u64,
    pause: ReconnectPause,
}

impl PageConnection {
    /// Returns a connection that is not open yet. It is opened again whenever `commands`, the
    /// status of the connection for commands, has another generation: after a failover both lead
    /// to the same Redis.
    pub(crate) fn new(endpoint: Endpoint, commands: watch::Receiver<ConnectionStatus>) -> Self {
        Self(Arc::new(PageConnectionState {
            endpoint,
            commands,
            current: Mutex::new(CurrentConnection {
                connection: None,
                generation: 0,
                pause: ReconnectPause::new(),
            }),
        }))
    }

    /// Sends commands and returns their answers. Opens the connection first if there is none, after
    /// a pause that grows while connections are lost soon.
    pub(crate) async fn send(&self, packed: PackedCommands) -> Result<Vec<Value>, SendError> {
        let sent = self.connection().await?.send(packed, None);
        self.0.endpoint.counters().round_trips.add(1);
        let answers = sent.map_err(SendError::from)?.await;
        Ok(answers.map_err(SendError::NoAnswer)?.values)
    }

    async fn connection(&self) -> Result<RespConnection, SendError> {
        let mut current = self.0.current.lock().await;
        let generation = self.0.commands.borrow().generation;
        if let Some(connection) = &current.connection
            && !connection.is_lost()
            && current.generation == generation
        {
            return Ok(connection.clone());
        }
        current.connection = None;
        current.pause.pause().await;
        let opening = RespConnection::open(&self.0.endpoint, None, || ());
        let opened = opening.await.map_err(SendError::NotSent)?;
        current.pause.connected();
        current.generation = generation;
        current.connection = Some(opened.connection.clone());
        Ok(opened.connection)
    }
}
