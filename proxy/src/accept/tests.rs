//! The accept loop on a listener that a test drives.

use std::io::{self, Write};
use std::sync::Mutex;

use streamgate_memory::MemoryStreams;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::config::Config;
use crate::server::Server;

/// What Linux and macOS return when a process has too many open files.
const EMFILE: i32 = 24;

type Accepted = io::Result<(DuplexStream, SocketAddr)>;

impl Listener for mpsc::UnboundedReceiver<Accepted> {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> Accepted {
        match self.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }
}

/// The lines that were logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_open_files_are_logged_once_and_connections_are_accepted_later() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = Server::new(Arc::new(MemoryStreams::new()), Config::default()).unwrap();
    let acceptor = Arc::new(Acceptor::new(
        Arc::clone(&server.state),
        server.router(),
        HandshakePlaces::new(10, 10),
        Duration::from_secs(10),
    ));
    let (listener, accepted) = mpsc::unbounded_channel();
    let accepting = tokio::spawn(acceptor.run(accepted, std::future::pending()));
    for _ in 0..100 {
        let error = io::Error::from_raw_os_error(EMFILE);
        listener.send(Err(error)).unwrap();
    }
    let (mut near, far) = duplex(1024);
    listener
        .send(Ok((far, "192.0.2.1:1".parse().unwrap())))
        .unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n";
    near.write_all(request).await.unwrap();
    let mut response = String::new();
    near.read_to_string(&mut response).await.unwrap();
    assert!(response.ends_with("\r\n\r\nok"), "{response}");
    assert_eq!(server.state.metrics.accept_errors.value(), 100);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.matches("cannot accept connections").count(), 1, "{log}");
    accepting.abort();
}
