//! The hub's connection: has `CLIENT TRACKING` on, detects a silent Redis, and reconnects.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, PushInfo, RedisResult, Value};

use crate::connection::availability::{ConnectionKind, RedisAvailability};
use crate::connection::endpoint::Endpoint;
use crate::connection::reconnect_pause::ReconnectPause;
use crate::hub::tracking::fallback::BlockingFallback;
use crate::hub::tracking::invalidations::{InvalidationBatch, Invalidations};
use crate::wire::errors;

/// The hub's connection, or the attempts to make one.
pub(in crate::hub) enum HubConnection {
    Up(TrackedConnection),
    /// Tries until it succeeds.
    Connecting(BoxFuture<'static, TrackedConnection>),
}

/// A connection whose reads arm the keys that they read.
pub(in crate::hub) struct TrackedConnection {
    /// The number of reconnects before this connection.
    pub(in crate::hub) generation: u64,
    pub(in crate::hub) connection: MultiplexedConnection,
    /// Present if Redis refuses `CLIENT TRACKING`.
    pub(in crate::hub) fallback: Option<Box<BlockingFallback>>,
    invalidations: Arc<Invalidations>,
    ping: Option<BoxFuture<'static, RedisResult<Value>>>,
    /// The pauses before the next connection.
    pause: ReconnectPause,
}

pub(in crate::hub) enum HubConnectionEvent {
    /// A new connection is up. No key is armed on it.
    Connected,
    Invalidated(InvalidationBatch),
    /// Redis has replied to a ping.
    Alive,
    /// The connection is lost, or Redis has not replied to a ping.
    Lost,
}

impl TrackedConnection {
    /// Connects, and turns `CLIENT TRACKING` on or prepares the fallback.
    pub(in crate::hub) async fn connect(endpoint: &Endpoint, generation: u64) -> RedisResult<Self> {
        let invalidations = Arc::new(Invalidations::default());
        let sender = Arc::clone(&invalidations);
        let connection = endpoint.connect(move |push: PushInfo| -> Result<(), Infallible> {
            sender.push(push);
            Ok(())
        });
        let mut connection = connection.await?;
        let mut tracking = Cmd::new();
        tracking.arg("CLIENT").arg("TRACKING").arg("ON");
        // A `Value` keeps the server's whole message; the `Err` of a typed query does not.
        let fallback = match connection.send_packed_command(&tracking).await? {
            // A transient refusal of every command says nothing about tracking.
            Value::ServerError(refusal) if errors::serves_nobody(&errors::answered(&refusal)) => {
                return Err(refusal.into());
            }
            Value::ServerError(error) => {
                let error = errors::answered(&error);
                tracing::warn!(
                    %error,
                    "Redis refuses CLIENT TRACKING: waits use XREAD BLOCK on further connections; \
                     allow CLIENT TRACKING to avoid those connections"
                );
                let (endpoint, hub) = (endpoint.clone(), connection.clone());
                let invalidations = Arc::clone(&invalidations);
                let fallback = BlockingFallback::new(endpoint, hub, invalidations);
                Some(Box::new(fallback))
            }
            _ => None,
        };
        let mut pause = ReconnectPause::new();
        pause.connected();
        Ok(Self {
            generation,
            connection,
            fallback,
            invalidations,
            ping: None,
            pause,
        })
    }
}

impl HubConnection {
    /// Waits for the next event. Cancel-safe.
    pub(in crate::hub) async fn next(&mut self) -> HubConnectionEvent {
        match self {
            Self::Connecting(connecting) => {
                *self = Self::Up(connecting.await);
                HubConnectionEvent::Connected
            }
            Self::Up(up) => {
                let ping = async {
                    match &mut up.ping {
                        Some(ping) => ping.await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    batch = up.invalidations.next() => match batch.lost {
                        true => HubConnectionEvent::Lost,
                        false => HubConnectionEvent::Invalidated(batch),
                    },
                    pong = ping => {
                        up.ping = None;
                        match pong {
                            Ok(_) => HubConnectionEvent::Alive,
                            Err(_) => HubConnectionEvent::Lost,
                        }
                    }
                }
            }
        }
    }

    /// Sends a ping, unless one is in flight. [`HubConnectionEvent::Alive`] or
    /// [`HubConnectionEvent::Lost`] follows.
    pub(in crate::hub) fn ping(&mut self) {
        if let Self::Up(up) = self
            && up.ping.is_none()
        {
            let mut connection = up.connection.clone();
            up.ping = Some(
                async move { connection.send_packed_command(&redis::cmd("PING")).await }.boxed(),
            );
        }
    }

    /// Drops the connection and starts to make another, unless that is under way.
    pub(in crate::hub) fn reconnect(
        &mut self,
        endpoint: &Endpoint,
        availability: &RedisAvailability,
    ) {
        if let Self::Up(up) = self {
            tracing::warn!(
                address = endpoint.address(),
                "lost the connection on which readers wait: reconnecting"
            );
            availability.set_unavailable(ConnectionKind::Hub, errors::disconnected());
            let (endpoint, availability) = (endpoint.clone(), availability.clone());
            let generation = up.generation + 1;
            let pause = std::mem::replace(&mut up.pause, ReconnectPause::new());
            let connecting = connect_again(endpoint, availability, generation, pause);
            *self = Self::Connecting(connecting.boxed());
        }
    }
}

async fn connect_again(
    endpoint: Endpoint,
    availability: RedisAvailability,
    generation: u64,
    mut pause: ReconnectPause,
) -> TrackedConnection {
    loop {
        // Before the first attempt too, unless the lost connection was stable.
        pause.pause().await;
        match TrackedConnection::connect(&endpoint, generation).await {
            Ok(mut connection) => {
                tracing::info!(
                    address = endpoint.address(),
                    "reconnected: readers wait on a new connection"
                );
                availability.set_available(ConnectionKind::Hub);
                pause.connected();
                connection.pause = pause;
                return connection;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot reconnect to Redis yet");
                let error = errors::unconnected(&error, &endpoint.address());
                availability.set_unavailable(ConnectionKind::Hub, error);
            }
        }
    }
}
