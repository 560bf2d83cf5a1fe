//! The servers, and the two ways to them.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use streamgate_client::Client;
use streamgate_protocol::{CacheError, CacheResult, StreamingBackend};
use streamgate_proxy::RedisStreams;
use streamgate_test_support::{Proxy, RedisServer, RedisVersion};

/// Connections of each way in the workloads with many.
const CONNECTIONS: usize = 8;

/// The servers, and the two ways to them.
pub(crate) struct Ways {
    pub(crate) direct: Way,
    pub(crate) proxied: Way,
    pub(crate) proxy: Proxy,
    pub(crate) redis: RedisServer,
}

/// Connections that do the same by one way.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) connections: Vec<Arc<dyn StreamingBackend>>,
}

impl Ways {
    pub(crate) async fn start(version: RedisVersion) -> anyhow::Result<Self> {
        let redis = RedisServer::start(version)?;
        let proxy = Proxy::start_binary(&binary()?, ["--redis", &redis.url()])?;
        let mut direct = Way {
            name: "RedisStreams, in process",
            connections: Vec::new(),
        };
        let mut proxied = Way {
            name: "Client, through the proxy",
            connections: Vec::new(),
        };
        for _ in 0..CONNECTIONS {
            direct
                .connections
                .push(Arc::new(RedisStreams::connect(&redis.url()).await?));
            proxied
                .connections
                .push(Arc::new(Client::connect(&proxy.ws_url()).await?));
        }
        Ok(Self {
            direct,
            proxied,
            proxy,
            redis,
        })
    }
}

/// Adds what every workload adds: 100 bytes of value, trimmed so that memory stays level.
pub(crate) async fn add(backend: &dyn StreamingBackend, stream: &str) -> CacheResult<String> {
    let fields = vec![("f".to_owned(), "v".repeat(100))];
    backend.stream_add(stream, fields, Some(100_000)).await
}

/// An error of a backend, as one of this command.
pub(crate) fn failed(error: CacheError) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

/// The server built with the same profile as this command.
fn binary() -> anyhow::Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("streamgate");
    anyhow::ensure!(
        beside.exists(),
        "{} is missing: `cargo build --release -p streamgate-proxy`",
        beside.display()
    );
    beside.canonicalize().context("the server's place")
}
