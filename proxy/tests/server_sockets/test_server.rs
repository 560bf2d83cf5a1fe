//! A server of a test's own, on a free port.

use std::net::SocketAddr;
use std::sync::Arc;

use streamgate::{Config, Server};
use streamgate_backend::Backend;
use streamgate_memory::MemoryStreams;
use streamgate_protocol::codec::Encoding;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::TestClient;
use crate::stub_backend::StubBackend;

/// A running server; it ends with the test's runtime.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) backend: Arc<StubBackend>,
    pub(crate) server: Server,
    shutdown: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let backend = Arc::new(StubBackend::new());
        let server = Server::new(backend.clone(), config).unwrap();
        let (address, listener) = listen().await;
        let (shutdown, shutdown_begun) = oneshot::channel();
        let serving = tokio::spawn(server.clone().serve(listener, async move {
            // Also ready when the test drops its end.
            let _ = shutdown_begun.await;
        }));
        Self {
            address,
            backend,
            server,
            shutdown,
            serving,
        }
    }

    /// Connects a client, and receives its welcome.
    pub(crate) async fn client(&self, encoding: Encoding) -> TestClient {
        let mut client = TestClient::connect(self.address, encoding).await;
        client.welcome().await;
        client
    }

    /// Fails if the server does not serve other clients any more.
    pub(crate) async fn serves_other_clients(&self) {
        for &encoding in Encoding::ALL {
            let mut other = self.client(encoding).await;
            other.ping(99).await;
            other.close().await;
        }
    }

    /// Shuts the server down, and returns how it ended.
    pub(crate) async fn shut_down(self) -> std::io::Result<()> {
        self.shutdown.send(()).unwrap();
        self.serving.await.unwrap()
    }

    /// Returns when a figure has not changed while another client had a hundred round trips: the
    /// server does nothing more on its own.
    pub(crate) async fn until_unchanged(&self, figure: impl Fn() -> usize) {
        let mut other = self.client(Encoding::Binary).await;
        let mut figure_before = None;
        while figure_before != Some(figure()) {
            figure_before = Some(figure());
            for nonce in 0..100 {
                other.ping(nonce).await;
            }
        }
    }
}

/// Serves streams in memory until the test ends, and returns the address.
pub(crate) async fn serve_memory() -> SocketAddr {
    let streams = Arc::new(MemoryStreams::new());
    serve(streams, Config::default()).await.0
}

/// Serves a backend until the test ends.
pub(crate) async fn serve(backend: Arc<dyn Backend>, config: Config) -> (SocketAddr, Server) {
    let server = Server::new(backend, config).unwrap();
    let (address, listener) = listen().await;
    tokio::spawn(server.clone().serve(listener, std::future::pending()));
    (address, server)
}

/// Listens on a free port.
pub(crate) async fn listen() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap(), listener)
}
