//! The settings of a client, and their defaults.

use streamgate_protocol::codec::Encoding;
use streamgate_protocol::limits::MAX_SERVER_FRAME_BYTES;

use super::tokens::TokenSource;

/// Half of it lasts for a round trip of 50 ms at 10 000 entries a second.
const DEFAULT_CREDIT_ENTRIES: u32 = 1_024;

/// Half of it lasts for a round trip of 40 ms at 100 Mbit/s, and dozens of subscriptions fit into a
/// browser's tab.
const DEFAULT_CREDIT_BYTES: u32 = 1024 * 1024;

/// Settings of a client. Times are in milliseconds.
///
/// Start from the default and change single settings:
///
/// ```
/// use streamgate_client::ClientConfig;
///
/// let config = ClientConfig::default().connect_timeout_ms(2_000).exactly_once(false);
/// # let _ = config;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The encoding to offer to the server. Default: binary.
    pub encoding: Encoding,
    /// The time that one attempt to connect may take. Default: 10 000.
    pub connect_timeout_ms: u32,
    /// The time that the owner may take to return a token. Default: 60 000.
    pub token_timeout_ms: u32,
    /// The time that a request may wait for a connection or for its turn, and the time that an
    /// unanswered request is retried. Default: 30 000.
    pub queue_timeout_ms: u32,
    /// The time that the server may take to answer a close. Default: 3 000.
    pub close_timeout_ms: u32,
    /// The longest pause before the first attempt to reconnect. It doubles with each attempt that
    /// fails. Default: 100.
    pub backoff_first_ms: u32,
    /// The longest pause before any attempt to reconnect. Default: 10 000.
    pub backoff_max_ms: u32,
    /// The time that a connection must stay open before the pauses start again at
    /// [`backoff_first_ms`](Self::backoff_first_ms). Default: 5 000.
    pub stable_after_ms: u32,
    /// The flow-control window of one subscription in entries: sent by the server and not yet taken
    /// by the subscription's owner. A consumer's window is its batch if that is smaller. Default:
    /// 1 024; 0 counts as one.
    pub credit_entries: u32,
    /// The same window in bytes; one entry may exceed it. Default: 1 MiB; 0 counts as one.
    pub credit_bytes: u32,
    /// The largest frame that the server may send, in bytes. A tail reports entries that do not fit
    /// as [`Skipped`](streamgate_protocol::Skipped). For runtimes and middleboxes that limit
    /// messages. Default: the largest that servers send; less than 64 KiB counts as that.
    pub max_frame_bytes: u32,
    /// Whether an add is stored exactly once even if the client has to send it again. It costs
    /// Redis 1.2 to 1.8 times a plain add, the less the more adds are in flight. Without it, an add
    /// whose answer is lost fails with `UNKNOWN_OUTCOME`. Default: true.
    pub exactly_once: bool,
    /// Whether a client whose first attempt to connect fails goes on trying, as it does after a
    /// lost connection. Default: false.
    pub retry_first_connect: bool,
    /// Where the client's tokens come from. Default: it has none.
    pub token_source: TokenSource,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            encoding: Encoding::Binary,
            connect_timeout_ms: 10_000,
            token_timeout_ms: 60_000,
            queue_timeout_ms: 30_000,
            close_timeout_ms: 3_000,
            backoff_first_ms: 100,
            backoff_max_ms: 10_000,
            stable_after_ms: 5_000,
            credit_entries: DEFAULT_CREDIT_ENTRIES,
            credit_bytes: DEFAULT_CREDIT_BYTES,
            max_frame_bytes: MAX_SERVER_FRAME_BYTES as u32,
            exactly_once: true,
            retry_first_connect: false,
            token_source: TokenSource::None,
        }
    }
}

impl ClientConfig {
    /// Sets [`token_source`](Self#structfield.token_source).
    #[must_use]
    pub fn token_source(mut self, source: TokenSource) -> Self {
        self.token_source = source;
        self
    }
}

/// Defines a setter for each setting: its name, its type.
macro_rules! setters {
    ($($field:ident: $type:ty),+ $(,)?) => {
        impl ClientConfig {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
                #[must_use]
                pub const fn $field(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )+
        }
    };
}

setters! {
    encoding: Encoding,
    connect_timeout_ms: u32,
    token_timeout_ms: u32,
    queue_timeout_ms: u32,
    close_timeout_ms: u32,
    backoff_first_ms: u32,
    backoff_max_ms: u32,
    stable_after_ms: u32,
    credit_entries: u32,
    credit_bytes: u32,
    max_frame_bytes: u32,
    exactly_once: bool,
    retry_first_connect: bool,
}
