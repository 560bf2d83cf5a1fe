//! A server of a test's own.

use std::net::SocketAddr;
use std::sync::Arc;

use streamgate::{Config, Server};
use streamgate_protocol::codec::Encoding;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::stub_backend::Stub;

/// A running server; it ends with the test's runtime.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) backend: Arc<Stub>,
    shutdown: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let backend = Arc::new(Stub::new());
        let server = Server::new(backend.clone(), config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, told) = oneshot::channel();
        let serving = tokio::spawn(server.serve(listener, async move {
            // Also ready when the test drops its end.
            let _ = told.await;
        }));
        Self {
            address,
            backend,
            shutdown,
            serving,
        }
    }

    /// A client whose welcome has arrived.
    pub(crate) async fn client(&self, encoding: Encoding) -> Client {
        let mut client = Client::connect(self.address, encoding).await;
        client.welcome().await;
        client
    }

    /// Fails if another client is harmed by what was done to the server.
    pub(crate) async fn serves_others(&self) {
        for &encoding in Encoding::ALL {
            let mut other = self.client(encoding).await;
            other.ping(99).await;
            other.close().await;
        }
    }

    /// Tells the server to end, and returns how it did when it has.
    pub(crate) async fn shut_down(self) -> std::io::Result<()> {
        self.shutdown.send(()).unwrap();
        self.serving.await.unwrap()
    }
}
