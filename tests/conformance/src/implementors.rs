//! The implementors, each with what it needs to be started.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use anyhow::Context as _;
use streamgate_client::Client;
use streamgate_memory::MemoryStreams;
use streamgate_protocol::codec::Encoding;
use streamgate_redis::RedisStreams;
use streamgate_test_support::{Proxy, RedisServer, RedisVersion};

use crate::bridge::{Chromium, Workerd};
use crate::fixture::{DirectRedis, FullBackend, Operations};
use crate::run::Subject;

/// An implementation of the traits, and what it needs to run.
#[derive(Debug, Clone, Copy)]
pub struct Implementor {
    /// Its name in the report.
    pub name: &'static str,
    /// The Redis of the backend; `None` for the memory backend.
    redis: Option<RedisVersion>,
    /// Further arguments of that Redis.
    config: &'static [&'static str],
    access: Access,
}

/// A Redis whose ACL forbids `CLIENT TRACKING`, as with some hosting providers.
const UNTRACKED: &[&str] = &[
    "--user",
    "default",
    "on",
    "nopass",
    "~*",
    "&*",
    "+@all",
    "-client|tracking",
];

/// A Redis with a tiny tracking table. Cases run side by side, so their keys evict each other.
const SMALL_TRACKING_TABLE: &[&str] = &["--tracking-table-max-keys", "10"];

/// How cases call the backend.
#[derive(Debug, Clone, Copy)]
enum Access {
    /// In this process.
    Direct,
    /// The native client, through a proxy.
    Client(Encoding),
    /// The npm package in a page, through a proxy.
    Chromium,
    /// The npm package in an edge worker, through a proxy.
    Workerd,
}

/// Every implementor.
pub const ALL: &[Implementor] = &[
    of("memory", None, Access::Direct),
    of("redis-7.0", Some(RedisVersion::V7_0), Access::Direct),
    of("redis-8.2", Some(RedisVersion::V8_2), Access::Direct),
    of("valkey-9", Some(RedisVersion::Valkey9), Access::Direct),
    of(
        "redis-7.0/untracked",
        Some(RedisVersion::V7_0),
        Access::Direct,
    )
    .with(UNTRACKED),
    of(
        "redis-7.0/small-tracking-table",
        Some(RedisVersion::V7_0),
        Access::Direct,
    )
    .with(SMALL_TRACKING_TABLE),
    of("client/memory", None, Access::Client(Encoding::Binary)),
    of(
        "client/redis-7.0",
        Some(RedisVersion::V7_0),
        Access::Client(Encoding::Binary),
    ),
    of(
        "client/redis-8.2",
        Some(RedisVersion::V8_2),
        Access::Client(Encoding::Binary),
    ),
    of(
        "client/valkey-9",
        Some(RedisVersion::Valkey9),
        Access::Client(Encoding::Binary),
    ),
    of(
        "client/redis-7.0/untracked",
        Some(RedisVersion::V7_0),
        Access::Client(Encoding::Binary),
    )
    .with(UNTRACKED),
    of(
        "client-json/redis-7.0",
        Some(RedisVersion::V7_0),
        Access::Client(Encoding::Json),
    ),
    of(
        "chromium/redis-7.0",
        Some(RedisVersion::V7_0),
        Access::Chromium,
    ),
    of(
        "chromium/redis-8.2",
        Some(RedisVersion::V8_2),
        Access::Chromium,
    ),
    of(
        "workerd/redis-7.0",
        Some(RedisVersion::V7_0),
        Access::Workerd,
    ),
    of(
        "workerd/redis-8.2",
        Some(RedisVersion::V8_2),
        Access::Workerd,
    ),
];

/// An implementor with its servers, which end when this is dropped.
pub struct Running {
    /// What the cases are given.
    pub subject: Subject,
    // In this order: callers go before what they call.
    _runtime: Option<Box<dyn Any + Send>>,
    _proxy: Option<Proxy>,
    _redis: Option<RedisServer>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

impl Implementor {
    const fn with(self, config: &'static [&'static str]) -> Self {
        Self { config, ..self }
    }

    /// Whether there is a Redis behind it, so that every case applies.
    pub fn has_redis(&self) -> bool {
        self.redis.is_some()
    }

    /// Whether it performs operations as data. JavaScript calls methods only.
    pub fn has_operations(&self) -> bool {
        matches!(self.access, Access::Direct | Access::Client(_))
    }

    /// Starts it and its servers.
    ///
    /// # Errors
    ///
    /// Something that it needs is missing or does not start.
    pub async fn start(&self) -> anyhow::Result<Running> {
        let config = self.config;
        let redis = match self.redis {
            Some(version) => {
                let start = move || RedisServer::start_with(version, config);
                Some(tokio::task::spawn_blocking(start).await??)
            }
            None => None,
        };
        let url = redis.as_ref().map(RedisServer::url);
        let direct_redis = match &url {
            Some(url) => Some(DirectRedis::open(url).await.context("no way into Redis")?),
            None => None,
        };
        let proxy = match self.access {
            Access::Direct => None,
            _ => {
                let args = url
                    .iter()
                    .flat_map(|url| ["--redis".to_owned(), url.clone()]);
                // The page of Chromium comes from a server of its own.
                let any_page = ["--allowed-origins", "*"].map(str::to_owned);
                let args: Vec<_> = args.chain(any_page).collect();
                Some(tokio::task::spawn_blocking(move || Proxy::start(args)).await??)
            }
        };
        let endpoint = proxy.as_ref().map(Proxy::ws_url).unwrap_or_default();
        let mut runtime: Option<Box<dyn Any + Send>> = None;
        let (backend, operations) = match (self.access, &url) {
            (Access::Direct, None) => in_rust(MemoryStreams::new()),
            (Access::Direct, Some(url)) => in_rust(RedisStreams::connect(url).await?),
            (Access::Client(encoding), _) => {
                let builder = Client::builder(&endpoint).encoding(encoding);
                in_rust(builder.connect().await?)
            }
            (Access::Chromium, _) => {
                let (bridged, chromium) = Chromium::start(&endpoint).await?;
                runtime = Some(Box::new(chromium));
                in_javascript(bridged)
            }
            (Access::Workerd, _) => {
                let (bridged, workerd) = Workerd::start(&endpoint).await?;
                runtime = Some(Box::new(workerd));
                in_javascript(bridged)
            }
        };
        let subject = Subject {
            backend,
            operations,
            direct_redis,
        };
        Ok(Running {
            subject,
            _runtime: runtime,
            _proxy: proxy,
            _redis: redis,
        })
    }
}

type Handles = (Arc<dyn FullBackend>, Option<Arc<dyn Operations>>);

fn in_rust(backend: impl FullBackend + Operations + 'static) -> Handles {
    let backend = Arc::new(backend);
    (Arc::clone(&backend) as _, Some(backend))
}

fn in_javascript(backend: impl FullBackend + 'static) -> Handles {
    (Arc::new(backend), None)
}

const fn of(name: &'static str, redis: Option<RedisVersion>, access: Access) -> Implementor {
    let config = &[];
    Implementor {
        name,
        redis,
        config,
        access,
    }
}
