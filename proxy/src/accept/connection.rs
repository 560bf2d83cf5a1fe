//! One connection: TLS, its request, and its response or its socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::Acceptor;
use super::handshake_places::{Evicted, HandshakePlace};
use super::progress::Progress;
use super::proxy_header::{self, InvalidProxyHeader, ProxyHeader};
use super::request_stream::RequestStream;
use super::tls_handshake;
use crate::handshake::unavailable;
use crate::refusal::Refusal;
use crate::shutdown::Shutdown;

/// Largest head of a request in bytes, with its target, its headers and cookies; a larger one gets
/// 431.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Longest time for which the server reads on after its response.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// Bytes that the server reads on after its response.
const LINGER_BYTES: u64 = 256 * 1024;

/// Serves a connection until its response is sent or it has become a socket.
pub(super) async fn serve<S>(
    acceptor: Arc<Acceptor>,
    stream: S,
    peer: SocketAddr,
    (place, mut evicted): (HandshakePlace, Evicted),
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let server = &acceptor.server;
    let progress = Arc::new(Progress::default());
    let deadline = Instant::now() + acceptor.handshake_timeout;
    let end = tokio::select! {
        biased;
        end = exchange(&acceptor, stream, peer, &place, &progress) => end,
        refusal = evicted.reason() => Err(refusal),
        refusal = progress.overdue(deadline, server.config.write_timeout) => Err(refusal),
        () = shut_down_without_request(&server.shutdown, &progress),
            if acceptor.ends_with_shutdown => Ok(()),
    };
    if let Err(refusal) = end {
        server.refusals.record(refusal, Some(peer));
    }
}

/// Completes when the server shuts down before there is a request: that must not be waited for.
async fn shut_down_without_request(shutdown: &Shutdown, progress: &Progress) {
    shutdown.until_begun().await;
    if progress.has_request() {
        std::future::pending().await
    }
}

/// Makes the TLS handshake, reads the request, and answers it or upgrades the connection.
async fn exchange<S>(
    acceptor: &Acceptor,
    mut stream: S,
    peer: SocketAddr,
    place: &HandshakePlace,
    progress: &Arc<Progress>,
) -> Result<(), Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let proxies = &acceptor.server.trusted_proxies;
    let accepted = peer;
    let (peer, first) = if proxies.contain(peer) {
        match proxy_header::read(&mut stream).await {
            Ok(ProxyHeader::Present(source)) => (source.unwrap_or(peer), Vec::new()),
            Ok(ProxyHeader::Absent(first)) => (peer, first),
            Err(InvalidProxyHeader) => return Err(Refusal::InvalidProxyHeader),
        }
    } else {
        (peer, Vec::new())
    };
    if peer != accepted && !admits(acceptor, peer) {
        return Ok(());
    }
    count_for(acceptor, place, peer);
    let stream = RequestStream::new(stream, first, Arc::clone(progress));
    let Some(tls) = acceptor.tls() else {
        return serve_http(acceptor, stream, peer, place, progress).await;
    };
    match tls_handshake::accept(acceptor, tls, stream).await? {
        Some(stream) => serve_http(acceptor, stream, peer, place, progress).await,
        None => Ok(()),
    }
}

/// Counts a connection for the address of its client. Trusted proxies speak for many.
fn count_for(acceptor: &Acceptor, place: &HandshakePlace, client: SocketAddr) {
    if let Some(address) = acceptor.server.counted_address(Some(client)) {
        place.set_address(address);
    }
}

/// Returns whether a client of a proxy may connect now.
fn admits(acceptor: &Acceptor, client: SocketAddr) -> bool {
    let address = acceptor.server.counted_address(Some(client));
    address.is_none_or(|address| acceptor.server.admit_connection(address, client))
}

/// Reads the request, and answers it or upgrades the connection.
async fn serve_http<S>(
    acceptor: &Acceptor,
    stream: S,
    peer: SocketAddr,
    place: &HandshakePlace,
    progress: &Progress,
) -> Result<(), Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let proxies = &acceptor.server.trusted_proxies;
    let router = TowerToHyperService::new(acceptor.router.clone());
    let service = service_fn(|mut request: Request<Incoming>| {
        progress.request_arrived();
        place.request_arrived();
        let client = proxies.client_of(request.headers(), peer);
        count_for(acceptor, place, client);
        let admitted = client == peer || admits(acceptor, client);
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(client));
        extensions.insert(acceptor.reached_by());
        let router = &router;
        async move {
            if !admitted {
                return Ok(unavailable("this address connects too often"));
            }
            acceptor.turn().await;
            router.call(request).await.map(end_connection)
        }
    });
    let mut http = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let served = (&mut http).await;
    // An upgraded connection has no parts any more.
    if let Some(parts) = http.into_parts() {
        linger(parts.io.into_inner()).await;
    }
    match served {
        Err(error) if error.is_parse() => Err(Refusal::InvalidRequest),
        Err(error) => {
            tracing::debug!(%peer, %error, "connection ended");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Lets a connection end with its response. The places count requests of one client each, so a
/// connection has one request.
fn end_connection(mut response: Response) -> Response {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let headers = response.headers_mut();
        let connection = headers.entry(header::CONNECTION);
        connection.or_insert(HeaderValue::from_static("close"));
    }
    response
}

/// Reads until the peer's end, for a bounded time: closing a connection with unread bytes resets
/// it, and a reset would take the response away from the peer.
pub(super) async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let read_on = async {
        if stream.shutdown().await.is_ok() {
            let mut rest = stream.take(LINGER_BYTES);
            // Whatever ends it, nothing follows.
            let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
        }
    };
    let _ = tokio::time::timeout(LINGER_TIME, read_on).await;
}
