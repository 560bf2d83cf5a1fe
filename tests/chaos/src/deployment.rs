//! The system under test: one Redis, two proxies, and a relay on each connection path.
//!
//! ```text
//! clients ── client relay 0 ──► proxy 0 ── redis relay 0 ──┐
//! clients ── client relay 1 ──► proxy 1 ── redis relay 1 ──┼─► Redis
//! foreign writers ─────────────────────────────────────────┘
//! ```

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use streamgate_client::Client;
use streamgate_test_support::relay::Cut;
use streamgate_test_support::{Proxy, RedisServer, RedisVersion, Relay};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::report::FaultCounts;
use crate::schedule::{Fault, FaultSite, may_evict};
use crate::tokens::{self, Issuer};

/// Flags of the proxies. Heartbeats and time-outs are short, so that a stall is noticed within the
/// run. Only errors are logged: none should happen.
const ARGUMENTS: [&str; 8] = [
    "--heartbeat-ms",
    "1000",
    "--write-timeout-ms",
    "3000",
    "--drain-ms",
    "500",
    "--log",
    "error",
];

/// Longest start of a proxy: meanwhile Redis may be down, or its relay stalled.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause between two attempts to reach Redis.
const START_PAUSE: Duration = Duration::from_millis(50);

/// Longest answer of Redis to one attempt.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Bounds of a client's reconnect pause: shorter than the default, so that many calls are made
/// between two faults.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// The relays, and what all fault sites share.
pub(crate) struct Deployment {
    pub(crate) client_relays: [Relay; 2],
    pub(crate) redis_relays: [Relay; 2],
    redis_url: String,
    /// Of the clients' tokens, if they have some.
    issuer: Option<Arc<Issuer>>,
    routes: Mutex<Routes>,
    fault_counts: Mutex<BTreeMap<(String, &'static str), u64>>,
    half_open: AtomicUsize,
    evicted: AtomicUsize,
    started: Instant,
    verbose: bool,
}

/// The processes.
pub(crate) struct Processes {
    pub(crate) redis: RedisServer,
    pub(crate) proxies: [Proxy; 2],
}

/// The targets of the client relays.
struct Routes {
    proxies: [SocketAddr; 2],
    /// For how many reasons a client relay leads to the other proxy.
    diverted: [u32; 2],
}

impl Deployment {
    /// Starts everything. The seed decides whether clients have tokens, and whether proxies are told
    /// that Redis may evict dedup windows; Redis itself never does, because its memory is not
    /// limited.
    pub(crate) async fn start(
        version: RedisVersion,
        seed: u64,
        verbose: bool,
    ) -> anyhow::Result<(Arc<Self>, Processes)> {
        let issuer = match tokens::are_used(seed) {
            true => Some(Arc::new(Issuer::new()?)),
            false => None,
        };
        let policy = if may_evict(seed) {
            "volatile-lru"
        } else {
            "noeviction"
        };
        let start =
            move || RedisServer::start_durable_with(version, &["--maxmemory-policy", policy]);
        let redis = blocking(start).await?;
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, redis.port()));
        let redis_relays = [Relay::start(target).await?, Relay::start(target).await?];
        let mut proxies = Vec::new();
        for relay in &redis_relays {
            proxies.push(proxy(relay, issuer.as_deref()).await?);
        }
        let addresses = [address(&proxies[0])?, address(&proxies[1])?];
        let client_relays = [
            Relay::start(addresses[0]).await?,
            Relay::start(addresses[1]).await?,
        ];
        let proxies = proxies.try_into().ok().context("two were started")?;
        let deployment = Self {
            client_relays,
            redis_relays,
            redis_url: redis.url(),
            issuer,
            routes: Mutex::new(Routes {
                proxies: addresses,
                diverted: [0; 2],
            }),
            fault_counts: Mutex::default(),
            half_open: AtomicUsize::new(0),
            evicted: AtomicUsize::new(0),
            started: Instant::now(),
            verbose,
        };
        Ok((Arc::new(deployment), Processes { redis, proxies }))
    }

    /// Returns the URL of Redis itself, past all relays.
    pub(crate) fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// Returns the issuer of the clients' tokens, if they have some.
    pub(crate) fn issuer(&self) -> Option<&Issuer> {
        self.issuer.as_deref()
    }

    /// Returns the time since the start of the run.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Connects a client through a relay. Its calls wait this long for a connection, and it takes
    /// frames of this size.
    pub(crate) async fn client(
        &self,
        relay: usize,
        retry_timeout: Duration,
        max_frame_bytes: u32,
    ) -> anyhow::Result<Client> {
        let url = format!("ws://{}/v1/ws", self.client_relays[relay].address());
        let mut builder = Client::builder(&url);
        if let Some(issuer) = &self.issuer {
            let (issuer, subject) = (Arc::clone(issuer), issuer.new_subject());
            builder = builder.token_source(move |_| {
                let token = issuer.token(subject);
                async { Ok(token) }
            });
        }
        let client = builder
            .backoff(BACKOFF.0, BACKOFF.1)
            .queue_timeout(retry_timeout)
            .max_frame_bytes(max_frame_bytes)
            .connect()
            .await?;
        Ok(client)
    }

    /// Starts a proxy at this index once Redis can be reached.
    pub(crate) async fn start_proxy(&self, index: usize) -> anyhow::Result<Proxy> {
        proxy(&self.redis_relays[index], self.issuer()).await
    }

    /// Leads new connections to this process from now on.
    pub(crate) fn set_proxy(&self, index: usize, proxy: &Proxy) -> anyhow::Result<()> {
        let address = address(proxy)?;
        let mut routes = self.routes();
        routes.proxies[index] = address;
        self.route(&routes);
        Ok(())
    }

    /// Leads new connections to the other proxy, until [`undivert`](Self::undivert) was called as
    /// often.
    pub(crate) fn divert(&self, relay: usize) {
        let mut routes = self.routes();
        routes.diverted[relay] += 1;
        self.route(&routes);
    }

    pub(crate) fn undivert(&self, relay: usize) {
        let mut routes = self.routes();
        routes.diverted[relay] -= 1;
        self.route(&routes);
    }

    /// Counts a fault that begins now.
    pub(crate) fn count_fault(&self, site: FaultSite, fault: Fault) {
        if self.verbose {
            let at = self.elapsed().as_millis();
            println!("{at:>8} ms  {site:?}: {fault:?}");
        }
        let mut fault_counts = self
            .fault_counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *fault_counts
            .entry((site.to_string(), fault.kind()))
            .or_default() += 1;
    }

    /// Returns the counts of what was injected.
    pub(crate) fn fault_counts(&self) -> FaultCounts {
        let fault_counts = self
            .fault_counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        FaultCounts {
            kinds: fault_counts.clone(),
            half_open: self.half_open.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
            tokens: self.issuer().map_or(0, Issuer::issued),
        }
    }

    /// Cuts all connections of a relay.
    pub(crate) fn cut(&self, relay: &Relay, cut: Cut) {
        let connections = relay.cut(cut);
        if cut == Cut::HalfOpen {
            self.half_open.fetch_add(connections, Ordering::Relaxed);
        }
    }

    pub(crate) fn count_evicted(&self, windows: usize) {
        self.evicted.fetch_add(windows, Ordering::Relaxed);
    }

    /// Ends all faults of relays. They forward held bytes too. No connection is cut: a reconnect
    /// must not rescue a subscription that is stuck.
    pub(crate) fn clear_faults(&self) {
        for relay in self.client_relays.iter().chain(&self.redis_relays) {
            relay.clear_faults();
        }
    }

    /// Cuts all proxies from Redis, and no client from its proxy.
    pub(crate) fn cut_all_from_redis(&self) {
        for relay in &self.redis_relays {
            relay.cut(Cut::Reset);
        }
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        // No code panics between two changes that belong together.
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn route(&self, routes: &Routes) {
        for (index, relay) in self.client_relays.iter().enumerate() {
            let proxy = if routes.diverted[index] > 0 {
                1 - index
            } else {
                index
            };
            relay.set_target(routes.proxies[proxy]);
        }
    }
}

/// Runs blocking work on a thread where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    spawn_blocking(work).await?
}

async fn proxy(redis_relay: &Relay, issuer: Option<&Issuer>) -> anyhow::Result<Proxy> {
    let url = format!("redis://{}", redis_relay.address());
    let end = Instant::now() + START_TIMEOUT;
    loop {
        // Otherwise a proxy that cannot serve would be started, and log an error, again and again.
        wait_for_redis(&url, end).await?;
        let mut arguments: Vec<_> = ["--redis", &url]
            .into_iter()
            .chain(ARGUMENTS)
            .map(str::to_owned)
            .collect();
        if let Some(issuer) = issuer {
            let settings = issuer.settings().display().to_string();
            arguments.extend(["--config".to_owned(), settings]);
        }
        match blocking(move || Proxy::start(arguments)).await {
            Err(error) if Instant::now() >= end => return Err(error),
            Err(_) => tokio::time::sleep(START_PAUSE).await,
            Ok(proxy) => return Ok(proxy),
        }
    }
}

async fn wait_for_redis(url: &str, end: Instant) -> anyhow::Result<()> {
    let client = redis::Client::open(url)?;
    while Instant::now() < end {
        let ping = async {
            let mut connection = client.get_multiplexed_async_connection().await?;
            redis::cmd("PING").exec_async(&mut connection).await
        };
        if let Ok(Ok(())) = tokio::time::timeout(PING_TIMEOUT, ping).await {
            return Ok(());
        }
        tokio::time::sleep(START_PAUSE).await;
    }
    bail!("Redis does not answer through its relay at {url}")
}

fn address(proxy: &Proxy) -> anyhow::Result<SocketAddr> {
    let address = proxy.http_url().trim_start_matches("http://");
    address
        .parse()
        .with_context(|| format!("the proxy has an invalid address {address}"))
}
