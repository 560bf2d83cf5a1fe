//! Connecting a client in Rust that is compiled to wasm.

use streamgate_client::{CacheResult, Client, ClientConfig, internals};
use wasm_bindgen_futures::spawn_local;

use crate::clock::PerformanceClock;
use crate::socket::WebSocketConnector;

/// Connects to a server with the default settings.
///
/// # Errors
///
/// `CONFIG` if the URL is not one of a WebSocket, `DISCONNECTED` if there is no connection within
/// 10 s. Browsers do not say why a connection failed.
pub async fn connect(url: &str) -> CacheResult<Client> {
    connect_with(WebSocketConnector::new(url)?, default_config()).await
}

/// Connects with other settings. Start from [`default_config`].
///
/// # Errors
///
/// Those of [`connect`].
pub async fn connect_with(
    connector: WebSocketConnector,
    config: ClientConfig,
) -> CacheResult<Client> {
    internals::connect(config, connector, PerformanceClock, |driver| {
        spawn_local(driver);
    })
    .await
}

/// Returns the default settings, with a random seed.
pub fn default_config() -> ClientConfig {
    ClientConfig::default().seed(js_sys::Math::random().to_bits())
}
