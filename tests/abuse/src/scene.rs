//! What an attack knows: the server and its Redis, how long to attack, and where to report.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use redis::aio::MultiplexedConnection;
use streamgate_client::Client;
use streamgate_protocol::codec::Encoding;
use streamgate_test_support::Relay;

use crate::raw_socket::RawSocket;

/// How much is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A second or two each. Latencies are not judged.
    Short,
    /// At full strength.
    Long,
}

/// What an attack knows.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) address: SocketAddr,
    pub(crate) ws_url: String,
    /// The token of well-behaved clients.
    pub(crate) token: Option<&'static str>,
    pub(crate) redis_url: Option<String>,
    pub(crate) form: Form,
    /// Between the server and Redis, if the set-up wants one.
    pub(crate) relay: Option<Relay>,
    pub(crate) server_pid: u32,
    /// What is not right, and how often it happened.
    pub(crate) problems: Mutex<BTreeMap<String, usize>>,
}

impl Form {
    /// Returns how many attacks run side by side, each on a server of its own. Latencies are judged
    /// only without company.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Self::Short => 4,
            Self::Long => 1,
        }
    }

    /// How long the bystander is measured before the attack.
    pub(crate) fn time_before(self) -> Duration {
        match self {
            Self::Short => Duration::from_millis(200),
            Self::Long => Duration::from_secs(5),
        }
    }

    /// After which an attack hangs.
    pub(crate) fn hang_limit(self) -> Duration {
        match self {
            Self::Short => Duration::from_secs(120),
            Self::Long => Duration::from_secs(300),
        }
    }
}

impl Scene {
    /// Returns the size of the short or of the long form.
    pub(crate) fn pick<T>(&self, short: T, long: T) -> T {
        match self.form {
            Form::Short => short,
            Form::Long => long,
        }
    }

    /// How long an attack that could go on for ever goes on.
    pub(crate) fn length(&self) -> Duration {
        self.pick(Duration::from_millis(700), Duration::from_secs(8))
    }

    /// Reports that something is not right.
    pub(crate) fn problem(&self, problem: impl Into<String>) {
        *self.problems().entry(problem.into()).or_default() += 1;
    }

    /// Reports a problem unless `holds`.
    pub(crate) fn check(&self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problem(problem());
        }
    }

    /// Connects the native client.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        connect(&self.ws_url, self.token).await
    }

    /// Opens a hostile socket, up to the welcome.
    pub(crate) async fn socket(&self, encoding: Encoding) -> anyhow::Result<RawSocket> {
        RawSocket::connect(self.address, encoding).await
    }

    /// Connects to Redis itself.
    pub(crate) async fn redis(&self) -> anyhow::Result<MultiplexedConnection> {
        let url = self
            .redis_url
            .as_deref()
            .context("this attack needs Redis")?;
        // A value of many megabytes takes longer than the default allows.
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let client = redis::Client::open(url)?;
        Ok(client
            .get_multiplexed_async_connection_with_config(&config)
            .await?)
    }

    fn problems(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        // Nothing panics while it is locked.
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects the native client to a server.
pub(crate) async fn connect(url: &str, token: Option<&str>) -> anyhow::Result<Client> {
    let mut builder = Client::builder(url);
    if let Some(token) = token {
        builder = builder.token(token);
    }
    Ok(builder.connect().await?)
}
