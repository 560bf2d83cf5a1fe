//! How a native client comes to be.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{CacheError, CacheResult};

use super::clock::TokioClock;
use super::socket::NativeConnector;
use crate::client::Client;
use crate::driver;
use crate::engine::Config;

/// Settings of a [`Client`], each with a default that serves most.
#[derive(Debug, Clone)]
pub struct Builder {
    url: String,
    config: Config,
}

impl Client {
    /// Connects to a server, such as `ws://127.0.0.1:8080/v1/ws`, with the default settings.
    ///
    /// # Errors
    ///
    /// `CONFIG` if the address is none, `DISCONNECTED` if there is no connection within 10 s.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn connect(url: &str) -> CacheResult<Self> {
        Self::builder(url).connect().await
    }

    /// Settings for a connection to a server.
    pub fn builder(url: &str) -> Builder {
        // Two clients shall not pause for the same time; nothing secret depends on it.
        let seed = RandomState::new().hash_one(url);
        Builder {
            url: url.to_owned(),
            config: Config {
                seed,
                ..Config::default()
            },
        }
    }
}

impl Builder {
    /// The encoding; binary by default. JSON is for debugging.
    #[must_use]
    pub const fn encoding(mut self, encoding: Encoding) -> Self {
        self.config.encoding = encoding;
        self
    }

    /// How long one attempt to connect may take; 10 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout_ms = millis(timeout);
        self
    }

    /// How long a call may wait to be sent while there is no connection; 30 s by default.
    #[must_use]
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.config.queue_timeout_ms = millis(timeout);
        self
    }

    /// Whether adds are done once, also if they have to be asked for again; they are by default. It
    /// costs Redis about 1.7 times a plain add where many are in flight.
    #[must_use]
    pub const fn exactly_once(mut self, exactly_once: bool) -> Self {
        self.config.exactly_once = exactly_once;
        self
    }

    /// The longest pause before the first attempt to reconnect, which doubles with each that
    /// fails, and the longest pause of all; 100 ms and 10 s by default.
    #[must_use]
    pub fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.config.backoff_first_ms = millis(first);
        self.config.backoff_max_ms = millis(max);
        self
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// `CONFIG` if the address is none, `DISCONNECTED` if there is no connection in time.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn connect(self) -> CacheResult<Client> {
        let connector = NativeConnector::new(&self.url)
            .map_err(|why| CacheError::ConfigError(format!("{}: {why}", self.url)))?;
        let (client, driver) = driver::pair(self.config, connector, TokioClock::start());
        tokio::spawn(driver);
        client.ready().await?;
        Ok(client)
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
