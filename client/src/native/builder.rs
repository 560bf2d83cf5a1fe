//! Connecting a native client.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{CacheError, CacheResult};

use super::client_id::new_client_id;
use super::clock::TokioClock;
use super::socket::{NativeConnector, TokenCallback};
#[cfg(feature = "tls")]
use super::tls::TlsSettings;
use crate::client::Client;
use crate::engine::{ClientConfig, TokenSource};
use crate::internals;
use crate::token_requests::TokenRequest;

/// Settings of a [`Client`], and [`connect`](Self::connect). Each setting has a default.
///
/// ```no_run
/// use std::time::Duration;
/// use streamgate_client::Client;
///
/// # async fn example() -> streamgate_client::CacheResult<()> {
/// let client = Client::builder("ws://127.0.0.1:8080/v1/ws")
///     .connect_timeout(Duration::from_secs(2))
///     .retry_first_connect(true)
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Builder {
    url: String,
    config: ClientConfig,
    token_source: Option<TokenCallback>,
    #[cfg(feature = "tls")]
    tls: TlsSettings,
}

impl Client {
    /// Connects to a server, such as `ws://127.0.0.1:8080/v1/ws`, with the default settings.
    ///
    /// # Errors
    ///
    /// `CONFIG` if the URL is invalid, `DISCONNECTED` if there is no connection within 10 s,
    /// `PROTOCOL`, `NOAUTH` or `NOPERM` if the server refuses it.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn connect(url: &str) -> CacheResult<Self> {
        Self::builder(url).connect().await
    }

    /// Returns the settings for a connection to a server.
    pub fn builder(url: &str) -> Builder {
        Builder {
            url: url.to_owned(),
            config: ClientConfig::default(),
            token_source: None,
            #[cfg(feature = "tls")]
            tls: TlsSettings::default(),
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("url", &self.url)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Sets the encoding. Default: binary. JSON is for debugging.
    #[must_use]
    pub const fn encoding(mut self, encoding: Encoding) -> Self {
        self.config.encoding = encoding;
        self
    }

    /// Sets how long one attempt to connect may take. Default: 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout_ms = millis(timeout);
        self
    }

    /// Sets how long a call of [`token_source`](Self::token_source) may take. It is dropped then, and
    /// followed by another. The time-out to connect begins after it. Default: 60 s.
    #[must_use]
    pub fn token_timeout(mut self, timeout: Duration) -> Self {
        self.config.token_timeout_ms = millis(timeout);
        self
    }

    /// Sets how long a request may wait for a connection. Default: 30 s.
    #[must_use]
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.config.queue_timeout_ms = millis(timeout);
        self
    }

    /// Sets whether an add is stored exactly once even if the client has to send it again. It costs
    /// Redis 1.2 to 1.8 times a plain add, the less the more adds are in flight. Default: true.
    #[must_use]
    pub const fn exactly_once(mut self, exactly_once: bool) -> Self {
        self.config.exactly_once = exactly_once;
        self
    }

    /// Sets the token with which the client authenticates, for its whole life. Default: none.
    ///
    /// If it ends, or the server refuses it, the client stops with `NOAUTH`. Use
    /// [`token_source`](Self::token_source) for tokens that end.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.config.token_source = TokenSource::Fixed(token.into());
        self.token_source = None;
        self
    }

    /// Sets a function that returns tokens. The client calls it at each attempt to connect, before a
    /// token ends, and once more if the server refuses a token; one call at a time: see
    /// [`token_timeout`](Self::token_timeout).
    ///
    /// An error with the code `NOAUTH` means that nobody is signed in: the client stops. After any
    /// other error it calls again later.
    ///
    /// ```
    /// use streamgate_client::{CacheError, Client};
    ///
    /// let builder = Client::builder("wss://streams.example.com/v1/ws").token_source(|request| async move {
    ///     // Ask your issuer here. If `request.force`, do not return a token from a cache.
    ///     # let signed_out = request.force;
    ///     if signed_out {
    ///         return Err(CacheError::BackendError("NOAUTH nobody is signed in".to_owned()));
    ///     }
    ///     Ok("eyJhbGciOiJFZERTQSJ9.e30.c2ln".to_owned())
    /// });
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn token_source<F, R>(mut self, source: F) -> Self
    where
        F: Fn(TokenRequest) -> R + Send + Sync + 'static,
        R: Future<Output = CacheResult<String>> + Send + 'static,
    {
        self.config.token_source = TokenSource::OnDemand;
        self.token_source = Some(Arc::new(move |request| Box::pin(source(request))));
        self
    }

    /// Trusts these certificate authorities, in PEM, instead of those of the system. For servers of
    /// your own network.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn root_certificates(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.tls.root_certificates = Some(pem.as_ref().to_owned());
        self
    }

    /// Sets the client's own certificate, for servers that require one: its chain and its private
    /// key, in one PEM.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn identity(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.tls.identity = Some(pem.as_ref().to_owned());
        self
    }

    /// Sets the largest frame that the server may send, in bytes, for middleboxes that limit messages.
    /// A tail reports entries that do not fit as [`Skipped`](streamgate_protocol::Skipped). Default:
    /// the largest that servers send; less than 64 KiB counts as that.
    #[must_use]
    pub const fn max_frame_bytes(mut self, bytes: u32) -> Self {
        self.config.max_frame_bytes = bytes;
        self
    }

    /// Sets the longest pause before the first attempt to reconnect, which doubles with each
    /// attempt that fails, and the longest pause of all. Default: 100 ms and 10 s.
    #[must_use]
    pub fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.config.backoff_first_ms = millis(first);
        self.config.backoff_max_ms = millis(max);
        self
    }

    /// Sets whether [`connect`](Self::connect) goes on trying if the first attempt fails, with the
    /// same pauses as after a lost connection. It then waits until the server is reachable; use
    /// `tokio::time::timeout` to limit that. Default: false, so that `connect` returns the error.
    #[must_use]
    pub const fn retry_first_connect(mut self, retry: bool) -> Self {
        self.config.retry_first_connect = retry;
        self
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// `CONFIG` if the URL or a certificate of these settings is invalid, `DISCONNECTED` if there is
    /// no connection in time, or the server's certificate is not trusted, `PROTOCOL` if the server
    /// speaks another protocol, `NOAUTH` after HTTP status 401, `NOPERM` after 403, `PROTOCOL` after
    /// 400, 404 and 426.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn connect(self) -> CacheResult<Client> {
        let connector = NativeConnector::new(
            &self.url,
            self.config.max_frame_bytes,
            self.token_source.clone(),
        )
        .map_err(|why| {
            CacheError::ConfigError(format!(
                "invalid server URL '{}': {why}; use one like ws://127.0.0.1:8080/v1/ws",
                self.url
            ))
        })?;
        if self.config.token_source != TokenSource::None && !connector.keeps_secrets() {
            return Err(CacheError::ConfigError(format!(
                "refusing to send a token to '{}': the connection is not encrypted; use wss://",
                self.url
            )));
        }
        #[cfg(feature = "tls")]
        let connector = if connector.is_encrypted() {
            let tls = self.tls;
            // It reads files.
            let config = tokio::task::spawn_blocking(move || tls.client_config()).await;
            let config = config.map_err(|error| CacheError::ConfigError(error.to_string()))?;
            connector.with_tls(config.map_err(CacheError::ConfigError)?)
        } else {
            connector
        };
        #[cfg(feature = "tracing")]
        let span = tracing::info_span!("streamgate_client", url = connector.log_address());
        let clock = TokioClock::start();
        internals::connect(new_client_id()?, self.config, connector, clock, |driver| {
            #[cfg(feature = "tracing")]
            let driver = tracing::Instrument::instrument(driver, span);
            tokio::spawn(driver);
        })
        .await
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
