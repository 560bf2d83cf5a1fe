//! The accept loop: from a listener to HTTP connections, bounded in number and in time.
//!
//! A connection holds a place among the handshakes from its acceptance until it has become a
//! socket. If all places are taken, an old connection makes room, first of all one that is silent: an
//! honest client needs its place for about a round trip, so those that stay are the ones to close. Each connection carries
//! one request.
//!
//! A few handshakes go on at a time, with a turn of all other tasks between them: so a flood of
//! connections takes no more from the open sockets than its share.
//!
//! TLS comes after the PROXY protocol and before HTTP, within the same bounds.

mod accept_errors;
mod connection;
mod handshake_places;
mod progress;
mod proxy_header;
mod request_stream;
mod tls_handshake;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use self::accept_errors::AcceptErrors;
pub(crate) use self::handshake_places::{Evicted, HandshakePlace, HandshakePlaces};
use crate::origins::ReachedBy;
use crate::server_state::ServerState;
use crate::tls::CurrentTls;

/// Handshakes that go on in one round of the runtime's tasks, and connections that are accepted in
/// one: so a flood of them delays an open socket by a few milliseconds.
const HANDSHAKES_PER_ROUND: u32 = 16;

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
    router: Router,
    server: Arc<ServerState>,
    places: HandshakePlaces,
    /// Longest time from the acceptance of a connection to its whole request, and to its socket.
    handshake_timeout: Duration,
    /// Whether a shutdown closes connections without a request.
    ends_with_shutdown: bool,
    /// Whether connections begin with TLS, if the server has a certificate.
    speaks_tls: bool,
    on_loopback: bool,
    turns: Semaphore,
}

impl Acceptor {
    /// Returns what serves connections as long as the process does.
    pub(crate) fn new(
        server: Arc<ServerState>,
        router: Router,
        places: HandshakePlaces,
        handshake_timeout: Duration,
    ) -> Self {
        Self {
            router,
            server,
            places,
            handshake_timeout,
            ends_with_shutdown: false,
            speaks_tls: false,
            on_loopback: false,
            turns: Semaphore::new(HANDSHAKES_PER_ROUND as usize),
        }
    }

    /// Lets a shutdown of the server close connections without a request.
    pub(crate) fn ends_with_shutdown(mut self) -> Self {
        self.ends_with_shutdown = true;
        self
    }

    /// Lets connections begin with TLS, if the server has a certificate.
    pub(crate) fn with_tls(mut self) -> Self {
        self.speaks_tls = true;
        self
    }

    /// States that the listener is on a loopback address.
    pub(crate) fn on_loopback(mut self) -> Self {
        self.on_loopback = true;
        self
    }

    fn reached_by(&self) -> ReachedBy {
        ReachedBy {
            loopback: self.on_loopback,
            tls: self.tls().is_some(),
        }
    }

    /// Returns the TLS settings; `None` if connections begin with HTTP.
    fn tls(&self) -> Option<&CurrentTls> {
        self.server.tls.as_ref().filter(|_| self.speaks_tls)
    }

    /// Waits for the turn of a request, or of a TLS handshake. All other tasks that are ready have theirs meanwhile.
    async fn turn(&self) {
        let turn = self.turns.acquire().await;
        tokio::task::yield_now().await;
        drop(turn);
    }

    /// Accepts connections until `end` completes.
    pub(crate) async fn run(
        self: Arc<Self>,
        mut listener: impl Listener,
        end: impl Future<Output = ()>,
    ) {
        let accepting = async {
            let mut errors = AcceptErrors::default();
            for count in 1_u32.. {
                if count.is_multiple_of(HANDSHAKES_PER_ROUND) {
                    tokio::task::yield_now().await;
                }
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
        let address = self.server.counted_address(Some(peer));
        if address.is_some_and(|address| !self.server.admit_connection(address, peer)) {
            return;
        }
        let place = self.places.take(address).await;
        tokio::spawn(connection::serve(Arc::clone(self), stream, peer, place));
    }
}

#[cfg(test)]
mod tests;
