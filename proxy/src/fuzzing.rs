//! What the fuzz targets of `tests/fuzz` reach, in their builds only.

use streamgate_protocol::codec::Encoding;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::server::Server;
use crate::session;
use crate::socket::ServerSocket;

/// Serves a WebSocket after its handshake, until it ends.
pub async fn serve<S>(server: &Server, stream: S, encoding: Encoding)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let max_bytes = server.state.config.max_frame_bytes;
    let socket = ServerSocket::new(stream, encoding, max_bytes).await;
    session::run(&server.state, socket, None, session::Opening::default()).await;
}
