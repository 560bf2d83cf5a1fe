//! Connecting a client in Rust that is compiled to wasm.

use streamgate_client::{CacheResult, Client, ClientConfig, internals};
use wasm_bindgen_futures::spawn_local;

use crate::client_id::new_client_id;
use crate::clock::PerformanceClock;
use crate::connector::WebSocketConnector;

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
/// ```no_run
/// use streamgate_wasm::{CacheResult, ClientConfig, WebSocketConnector, connect_with};
///
/// # async fn fetch_token(_: bool) -> CacheResult<String> { Ok(String::new()) }
/// # async fn example() -> CacheResult<()> {
/// let connector = WebSocketConnector::new("wss://example.com/v1/ws")?
///     .with_token_source(|request| async move { fetch_token(request.force).await });
/// let client = connect_with(connector, ClientConfig::default()).await?;
/// # drop(client);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of [`connect`]; `CONFIG` if a token would be sent without encryption to another machine;
/// `NOAUTH` if the server refuses the token, or if nobody is signed in.
pub async fn connect_with(
    connector: WebSocketConnector,
    mut config: ClientConfig,
) -> CacheResult<Client> {
    let (connector, token_source) = connector.into_parts()?;
    if let Some(token_source) = token_source {
        config.token_source = token_source;
    }
    internals::connect(
        new_client_id()?,
        config,
        connector,
        PerformanceClock,
        |driver| {
            spawn_local(driver);
        },
    )
    .await
}
