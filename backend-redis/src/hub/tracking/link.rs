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
use crate::hub::tracking::fallback::Blockers;
use crate::hub::tracking::invalidations::{Pushed, Pushes};
use crate::wire::errors;

/// The hub's way to Redis.
pub(crate) enum Link {
    Up(Up),
    /// Ends with a connection only.
    Down(BoxFuture<'static, Up>),
}

/// A connection whose reads arm the keys they read.
pub(crate) struct Up {
    /// Of the connections made so far, which this is.
    pub(crate) generation: u64,
    pub(crate) connection: MultiplexedConnection,
    /// Redis refuses to push changes: what stands in for that.
    pub(crate) blockers: Option<Box<Blockers>>,
    pushes: Arc<Pushes>,
    ping: Option<BoxFuture<'static, RedisResult<Value>>>,
}

/// What happened on the way to Redis.
pub(crate) enum Event {
    /// There is a new connection; it knows nothing of earlier ones' reads.
    Connected,
    Pushed(Pushed),
    /// Redis answers.
    Alive,
    /// The connection was lost, or Redis is silent.
    Lost,
}

impl Up {
    pub(crate) async fn connect(server: &Endpoint, generation: u64) -> RedisResult<Self> {
        let pushes = Arc::new(Pushes::default());
        let sender = Arc::clone(&pushes);
        let connection = server.connect(move |push: PushInfo| -> Result<(), Infallible> {
            sender.push(push);
            Ok(())
        });
        let mut connection = connection.await?;
        let mut tracking = Cmd::new();
        tracking.arg("CLIENT").arg("TRACKING").arg("ON");
        // Inside a `Value`, unlike as the `Err` of a typed query, Redis's own words are complete.
        let blockers = match connection.send_packed_command(&tracking).await? {
            // That passes by itself, and says nothing about tracking.
            Value::ServerError(refusal) if errors::serves_nobody(&errors::answered(&refusal)) => {
                return Err(refusal.into());
            }
            Value::ServerError(error) => {
                let error = errors::answered(&error);
                tracing::warn!(%error, "Redis refuses CLIENT TRACKING: it is asked by XREAD BLOCK");
                let (hub, pushes) = (connection.clone(), Arc::clone(&pushes));
                Some(Box::new(Blockers::new(server.clone(), hub, pushes)))
            }
            _ => None,
        };
        Ok(Self {
            generation,
            connection,
            blockers,
            pushes,
            ping: None,
        })
    }
}

impl Link {
    /// Waits for the next event. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Event {
        match self {
            Self::Down(connecting) => {
                *self = Self::Up(connecting.await);
                Event::Connected
            }
            Self::Up(up) => {
                let ping = async {
                    match &mut up.ping {
                        Some(ping) => ping.await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    pushed = up.pushes.next() => {
                        if pushed.lost { Event::Lost } else { Event::Pushed(pushed) }
                    }
                    pong = ping => {
                        up.ping = None;
                        if pong.is_ok() { Event::Alive } else { Event::Lost }
                    }
                }
            }
        }
    }

    /// Asks whether Redis is there; answered by [`Event::Alive`] or [`Event::Lost`].
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
            *self = Self::Down(connect_again(server, availability, up.generation + 1).boxed());
        }
    }
}

async fn connect_again(server: Endpoint, availability: RedisAvailability, generation: u64) -> Up {
    let mut backoff = ReconnectPause::new();
    loop {
        match Up::connect(&server, generation).await {
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
