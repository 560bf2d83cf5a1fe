//! What the run is about: one Redis, two proxies, and a relay on each way.
//!
//! ```text
//! clients ── front 0 ──► proxy 0 ── back 0 ──┐
//! clients ── front 1 ──► proxy 1 ── back 1 ──┴─► Redis
//! ```

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use streamgate_client::Client;
use streamgate_test_support::relay::Cut;
use streamgate_test_support::{Proxy, RedisServer, RedisVersion, Relay};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::schedule::{Fault, Place};

/// What the proxies are told. Heartbeats and patience are short, so that a stall is noticed within
/// the run; of their log only what should never happen is of interest.
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

/// Longest time that a proxy may take until it serves: Redis may be down meanwhile, and both ways
/// to it stalled.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks whether Redis can be reached.
const START_PAUSE: Duration = Duration::from_millis(50);

/// Longest time that Redis may take to answer one such look.
const PING_PATIENCE: Duration = Duration::from_secs(1);

/// Bounds of a client's pause before it connects again: shorter than by default, so that much is
/// asked between two faults.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// What all places share.
pub(crate) struct World {
    pub(crate) fronts: [Relay; 2],
    pub(crate) backs: [Relay; 2],
    redis_url: String,
    routes: Mutex<Routes>,
    tally: Mutex<BTreeMap<(String, &'static str), u64>>,
    begun: Instant,
    verbose: bool,
}

/// The processes.
pub(crate) struct Processes {
    pub(crate) redis: RedisServer,
    pub(crate) proxies: [Proxy; 2],
}

/// Where the fronts lead.
struct Routes {
    proxies: [SocketAddr; 2],
    /// For how many reasons a front leads to the other proxy.
    diverted: [u32; 2],
}

impl World {
    pub(crate) async fn start(
        version: RedisVersion,
        verbose: bool,
    ) -> anyhow::Result<(Arc<Self>, Processes)> {
        let redis = blocking(move || RedisServer::start_durable(version)).await?;
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, redis.port()));
        let backs = [Relay::start(target).await?, Relay::start(target).await?];
        let mut proxies = Vec::new();
        for back in &backs {
            proxies.push(proxy(back).await?);
        }
        let addresses = [address(&proxies[0])?, address(&proxies[1])?];
        let fronts = [
            Relay::start(addresses[0]).await?,
            Relay::start(addresses[1]).await?,
        ];
        let proxies = proxies.try_into().ok().context("two were started")?;
        let world = Self {
            fronts,
            backs,
            redis_url: redis.url(),
            routes: Mutex::new(Routes {
                proxies: addresses,
                diverted: [0; 2],
            }),
            tally: Mutex::default(),
            begun: Instant::now(),
            verbose,
        };
        Ok((Arc::new(world), Processes { redis, proxies }))
    }

    /// Redis itself, past all relays.
    pub(crate) fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// Time since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// A client through one of the fronts, whose calls wait for a connection for this long.
    pub(crate) async fn client(&self, front: usize, patience: Duration) -> anyhow::Result<Client> {
        let url = format!("ws://{}/v1/ws", self.fronts[front].address());
        let client = Client::builder(&url)
            .backoff(BACKOFF.0, BACKOFF.1)
            .queue_timeout(patience)
            .connect()
            .await?;
        Ok(client)
    }

    /// A proxy of this place that serves, as soon as Redis can be reached.
    pub(crate) async fn start_proxy(&self, place: usize) -> anyhow::Result<Proxy> {
        proxy(&self.backs[place]).await
    }

    /// Those who come go to this process from now on.
    pub(crate) fn serves(&self, place: usize, proxy: &Proxy) -> anyhow::Result<()> {
        let address = address(proxy)?;
        let mut routes = self.routes();
        routes.proxies[place] = address;
        self.route(&routes);
        Ok(())
    }

    /// Those who come to a front go to the other proxy, until as often told otherwise.
    pub(crate) fn divert(&self, front: usize) {
        let mut routes = self.routes();
        routes.diverted[front] += 1;
        self.route(&routes);
    }

    pub(crate) fn divert_no_more(&self, front: usize) {
        let mut routes = self.routes();
        routes.diverted[front] -= 1;
        self.route(&routes);
    }

    /// Notes that a fault began.
    pub(crate) fn count(&self, place: Place, fault: Fault) {
        if self.verbose {
            let at = self.elapsed().as_millis();
            println!("{at:>8} ms  {place:?}: {fault:?}");
        }
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        *tally.entry((place.to_string(), fault.kind())).or_default() += 1;
    }

    /// How often each kind of fault was at each kind of place.
    pub(crate) fn tally(&self) -> BTreeMap<(String, &'static str), u64> {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.clone()
    }

    /// All relays pass on what comes, also what they held. No connection is cut: a subscription
    /// that gives nothing any more must not be saved by its end.
    pub(crate) fn heal(&self) {
        for relay in self.fronts.iter().chain(&self.backs) {
            relay.heal();
        }
    }

    /// Cuts all proxies from Redis, and nobody from a proxy.
    pub(crate) fn cut_from_redis(&self) {
        for back in &self.backs {
            back.cut(Cut::Reset);
        }
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        // No code that holds it can panic half way through a change.
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn route(&self, routes: &Routes) {
        for (front, relay) in self.fronts.iter().enumerate() {
            let proxy = if routes.diverted[front] > 0 {
                1 - front
            } else {
                front
            };
            relay.set_target(routes.proxies[proxy]);
        }
    }
}

/// Does what blocks where that holds up nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    spawn_blocking(work).await?
}

async fn proxy(back: &Relay) -> anyhow::Result<Proxy> {
    let url = format!("redis://{}", back.address());
    let end = Instant::now() + START_PATIENCE;
    loop {
        // Or a proxy that cannot serve would be started again and again, and say so each time.
        until_redis_answers(&url, end).await?;
        let arguments: Vec<_> = ["--redis", &url]
            .into_iter()
            .chain(ARGUMENTS)
            .map(str::to_owned)
            .collect();
        match blocking(move || Proxy::start(arguments)).await {
            Err(error) if Instant::now() >= end => return Err(error),
            Err(_) => tokio::time::sleep(START_PAUSE).await,
            Ok(proxy) => return Ok(proxy),
        }
    }
}

async fn until_redis_answers(url: &str, end: Instant) -> anyhow::Result<()> {
    let client = redis::Client::open(url)?;
    while Instant::now() < end {
        let ping = async {
            let mut connection = client.get_multiplexed_async_connection().await?;
            redis::cmd("PING").exec_async(&mut connection).await
        };
        if let Ok(Ok(())) = tokio::time::timeout(PING_PATIENCE, ping).await {
            return Ok(());
        }
        tokio::time::sleep(START_PAUSE).await;
    }
    bail!("Redis cannot be reached through its relay at {url}")
}

fn address(proxy: &Proxy) -> anyhow::Result<SocketAddr> {
    let address = proxy.http_url().trim_start_matches("http://");
    address
        .parse()
        .with_context(|| format!("the proxy serves at {address}"))
}
