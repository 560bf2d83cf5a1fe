//! The client for Rust applications compiled to wasm.

use streamgate_client::driver;
use streamgate_client::engine::Config;
use streamgate_client::{CacheResult, Client};
use wasm_bindgen_futures::spawn_local;

use crate::clock::PerformanceClock;
use crate::socket::WebSocketConnector;

/// Connects to a server with the default settings.
///
/// # Errors
///
/// `CONFIG` if the address is not one of a WebSocket, `DISCONNECTED` if there is no connection
/// within 10 s. Browsers do not say why a connection failed.
pub async fn connect(url: &str) -> CacheResult<Client> {
    let seed = js_sys::Math::random().to_bits();
    connect_with(
        WebSocketConnector::new(url)?,
        Config {
            seed,
            ..Config::default()
        },
    )
    .await
}

/// Connects with settings of your own.
///
/// # Errors
///
/// As [`connect`].
pub async fn connect_with(connector: WebSocketConnector, config: Config) -> CacheResult<Client> {
    let (client, driver) = driver::pair(config, connector, PerformanceClock);
    spawn_local(driver);
    client.ready().await?;
    Ok(client)
}
