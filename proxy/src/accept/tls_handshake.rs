//! The TLS handshake of a connection, between the PROXY protocol and HTTP.
//!
//! It has no deadline of its own: that of the connection is for all of its way to a socket.

use std::io;

use rustls::server::Acceptor as HelloReader;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::Acceptor;
use super::connection::linger;
use super::request_stream::RequestStream;
use crate::refusal::Refusal;
use crate::tls::{CurrentTls, MAX_UNSENT_TLS_BYTES};

/// Most bytes of a handshake from a client, with a chain of certificates of its own.
const MAX_HANDSHAKE_BYTES: usize = 32 * 1024;

/// Makes the handshake. Returns `None` if the client has left.
pub(super) async fn accept<S>(
    acceptor: &Acceptor,
    tls: &CurrentTls,
    mut stream: RequestStream<S>,
) -> Result<Option<TlsStream<RequestStream<S>>>, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match stream.first_byte().await {
        // No TLS record begins with a letter, and every method of HTTP does.
        Ok(Some(byte)) if byte.is_ascii_alphabetic() => {
            refuse_plain_http(stream).await;
            return Err(Refusal::PlainHttp);
        }
        Ok(Some(_)) => {}
        Ok(None) | Err(_) => return Ok(None),
    }
    stream.limit_reads(MAX_HANDSHAKE_BYTES);
    let mut hello = LazyConfigAcceptor::new(HelloReader::default(), stream);
    let start = match (&mut hello).await {
        Ok(start) => start,
        Err(error) => return failed(&error, hello.take_io()).await,
    };
    // Signatures take processor time: a flood of handshakes takes no more than its share.
    acceptor.turn().await;
    let accept = start.into_stream_with(tls.server(), |connection| {
        connection.set_buffer_limit(Some(MAX_UNSENT_TLS_BYTES));
    });
    match accept.into_fallible().await {
        Ok(mut stream) => {
            stream.get_mut().0.lift_limit();
            Ok(Some(stream))
        }
        Err((error, stream)) => failed(&error, Some(stream)).await,
    }
}

/// Ends a connection whose handshake has failed. rustls has sent the alert.
async fn failed<S, T>(error: &io::Error, stream: Option<S>) -> Result<Option<T>, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tracing::debug!(%error, "TLS handshake failed");
    if error.kind() != io::ErrorKind::InvalidData {
        return Ok(None);
    }
    if let Some(stream) = stream {
        linger(stream).await;
    }
    Err(Refusal::TlsHandshake)
}

/// Answers 400, in plain text as the client spoke.
async fn refuse_plain_http(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let body = format!("{}\n", Refusal::PlainHttp.sentence());
    let response = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    if stream.write_all(response.as_bytes()).await.is_ok() {
        linger(stream).await;
    }
}
