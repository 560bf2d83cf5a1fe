//! The hub's connection: tracked, watched for silence, and made again when it is lost.

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

/// The hub's way to Redis.
pub(crate) enum HubConnection {
    Up(TrackedConnection),
    /// Ends with a connection only.
    Connecting(BoxFuture<'static, TrackedConnection>),
}

/// A connection whose reads arm the keys they read.
pub(crate) struct TrackedConnection {
    /// Of the connections made so far, which this is.
    pub(crate) generation: u64,
    pub(crate) connection: MultiplexedConnection,
    /// Redis refuses to push changes: what stands in for that.
    pub(crate) fallback: Option<Box<BlockingFallback>>,
    invalidations: Arc<Invalidations>,
    ping: Option<BoxFuture<'static, RedisResult<Value>>>,
}

/// What happened on the way to Redis.
pub(crate) enum HubConnectionEvent {
    /// There is a new connection; it knows nothing of earlier ones' reads.
    Connected,
    Invalidated(InvalidationBatch),
    /// Redis answers.
    Alive,
    /// The connection was lost, or Redis is silent.
    Lost,
}

impl TrackedConnection {
    pub(crate) async fn connect(server: &Endpoint, generation: u64) -> RedisResult<Self> {
        let invalidations = Arc::new(Invalidations::default());
        let sender = Arc::clone(&invalidations);
        let connection = server.connect(move |push: PushInfo| -> Result<(), Infallible> {
            sender.push(push);
            Ok(())
        });
        let mut connection = connection.await?;
        let mut tracking = Cmd::new();
        tracking.arg("CLIENT").arg("TRACKING").arg("ON");
        // Inside a `Value`, unlike as the `Err` of a typed query, Redis's own words are complete.
        let fallback = match connection.send_packed_command(&tracking).await? {
            // That passes by itself, and says nothing about tracking.
            Value::ServerError(refusal) if errors::serves_nobody(&errors::answered(&refusal)) => {
                return Err(refusal.into());
            }
            Value::ServerError(error) => {
                let error = errors::answered(&error);
                tracing::warn!(%error, "Redis refuses CLIENT TRACKING: it is asked by XREAD BLOCK");
                let (hub, invalidations) = (connection.clone(), Arc::clone(&invalidations));
                Some(Box::new(BlockingFallback::new(
                    server.clone(),
                    hub,
                    invalidations,
                )))
            }
            _ => None,
        };
        Ok(Self {
            generation,
            connection,
            fallback,
            invalidations,
            ping: None,
        })
    }
}

impl HubConnection {
    /// Waits for the next event. Cancel-safe.
    pub(crate) async fn next(&mut self) -> HubConnectionEvent {
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
                    pushed = up.invalidations.next() => {
                        if pushed.lost { HubConnectionEvent::Lost } else { HubConnectionEvent::Invalidated(pushed) }
                    }
                    pong = ping => {
                        up.ping = None;
                        if pong.is_ok() { HubConnectionEvent::Alive } else { HubConnectionEvent::Lost }
                    }
                }
            }
        }
    }

    /// Asks whether Redis is there; answered by [`HubConnectionEvent::Alive`] or [`HubConnectionEvent::Lost`].
    pub(crate) fn ping(&mut self) {
        if let Self::Up(up) = self
            && up.ping.is_none()
        {
            let mut connection = up.connection.clone();
            up.ping = Some(
                async move { connection.send_packed_command(&redis::cmd("PING")).await }.boxed(),
            );
        }
    }

    /// Gives up the connection and makes another.
    pub(crate) fn reconnect(&mut self, server: &Endpoint, availability: &RedisAvailability) {
        if let Self::Up(up) = self {
            tracing::warn!(
                address = server.address(),
                "lost the connection of waiting readers"
            );
            availability.set_unavailable(ConnectionKind::Hub, errors::disconnected());
            let (server, availability) = (server.clone(), availability.clone());
            *self =
                Self::Connecting(connect_again(server, availability, up.generation + 1).boxed());
        }
    }
}

async fn connect_again(
    server: Endpoint,
    availability: RedisAvailability,
    generation: u64,
) -> TrackedConnection {
    let mut backoff = ReconnectPause::new();
    loop {
        match TrackedConnection::connect(&server, generation).await {
            Ok(up) => {
                tracing::info!(
                    address = server.address(),
                    "readers wait on a new connection"
                );
                availability.set_available(ConnectionKind::Hub);
                return up;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot connect to Redis yet");
                let error = errors::unconnected(&error, &server.address());
                availability.set_unavailable(ConnectionKind::Hub, error);
            }
        }
        backoff.pause().await;
    }
}
