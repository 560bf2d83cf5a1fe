//! Connecting a client in Rust that is compiled to wasm.

use streamgate_client::{CacheResult, Client, ClientConfig, internals};
use wasm_bindgen_futures::spawn_local;

use crate::clock::PerformanceClock;
use crate::identity::new_identity;
use crate::socket::WebSocketConnector;

/// Connects to a server with the default settings.
///
/// # Errors
///
/// `CONFIG` if the URL is not one of a WebSocket or if the runtime has no Web Crypto, `DISCONNECTED` if there is no connection within
/// 10 s. Browsers do not say why a connection failed.
pub async fn connect(url: &str) -> CacheResult<Client> {
    connect_with(WebSocketConnector::new(url)?, ClientConfig::default()).await
}

/// Connects with other settings.
///
/// # Errors
///
/// Those of [`connect`].
pub async fn connect_with(
    connector: WebSocketConnector,
    config: ClientConfig,
) -> CacheResult<Client> {
    internals::connect(
        new_identity()?,
        config,
        connector,
        PerformanceClock,
        |driver| {
            spawn_local(driver);
        },
    )
    .await
}
