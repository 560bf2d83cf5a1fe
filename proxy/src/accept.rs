//! The accept loop: from a listener to HTTP connections, bounded in number and in time.
//!
//! A connection holds a place among the handshakes from its acceptance until it has become a
//! socket. If all places are taken, the oldest connection makes room: an honest client needs its
//! place for about a round trip, so those that stay are the ones to close. Each connection carries
//! one request.
//!
//! The loop is generic over the listener's streams, so that TLS can come between a listener and
//! HTTP.

mod accept_errors;
mod connection;
mod handshake_places;
mod progress;
mod proxy_header;
mod request_stream;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use self::accept_errors::AcceptErrors;
pub(crate) use self::handshake_places::HandshakePlaces;
use crate::address_key::AddressKey;
use crate::server_state::ServerState;

/// Where streams come from.
pub(crate) trait Listener: Send {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = Self::accept(self).await?;
        // Replies are small and already coalesced: Nagle's algorithm would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        Ok((stream, peer))
    }
}

/// What serves the connections of a listener.
pub(crate) struct Acceptor {
    pub(crate) router: Router,
    pub(crate) server: Arc<ServerState>,
    pub(crate) places: HandshakePlaces,
    /// Longest time from the acceptance of a connection to its whole request, and to its socket.
    pub(crate) handshake_timeout: Duration,
    /// Whether a shutdown closes connections without a request.
    pub(crate) ends_with_shutdown: bool,
}

impl Acceptor {
    /// Accepts connections until `end` completes.
    pub(crate) async fn run(
        self: Arc<Self>,
        mut listener: impl Listener,
        end: impl Future<Output = ()>,
    ) {
        let accepting = async {
            let mut errors = AcceptErrors::default();
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => self.accepted(stream, peer).await,
                    Err(error) => errors.handle(&error, &self.server.metrics).await,
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = end => {}
        }
    }

    async fn accepted<S>(self: &Arc<Self>, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // A trusted proxy has the connections of many clients.
        let is_proxy = self.server.trusted_proxies.contain(peer);
        let address = (!is_proxy).then(|| AddressKey::of(peer));
        let place = self.places.take(address).await;
        tokio::spawn(connection::serve(Arc::clone(self), stream, peer, place));
    }
}

#[cfg(test)]
mod tests;
