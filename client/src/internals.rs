//! What `streamgate-wasm` needs of this crate to bring another runtime.
//!
//! **Not public API.** Nothing in this module is covered by semantic versioning: it may change in
//! any release.

use tokio::sync::{mpsc, watch};

use streamgate_protocol::CacheResult;

use crate::client::Client;

pub use crate::driver::Driver;
pub use crate::engine::{ClientConfig, ConnectionState};
pub use crate::engine::{ClientId, Engine, EngineEvent, Millis, NewRequest, SocketAction};
pub use crate::engine::{TokenError, TokenSource};
pub use crate::engine_io::EngineIo;
pub use crate::token_requests::{TokenRequest, TokenRequests};
pub use crate::transport::{Clock, Connector, Socket, SocketEvent};

/// Returns a client, and the driver without which the client does nothing.
pub fn client_and_driver<C: Connector, K: Clock>(
    client_id: &ClientId,
    config: ClientConfig,
    connector: C,
    clock: K,
) -> (Client, Driver<C, K>) {
    let (sender, commands) = mpsc::unbounded_channel();
    let (state, states) = watch::channel(ConnectionState::Connecting);
    let driver = Driver::new(client_id, config, connector, clock, commands, state);
    (Client::new(sender, states), driver)
}

/// Connects a client whose driver `spawn` puts on a runtime.
///
/// # Errors
///
/// `DISCONNECTED` if there is no connection, `PROTOCOL` if the server speaks another protocol.
pub async fn connect<C: Connector, K: Clock>(
    client_id: ClientId,
    config: ClientConfig,
    connector: C,
    clock: K,
    spawn: impl FnOnce(Driver<C, K>),
) -> CacheResult<Client> {
    let (client, driver) = client_and_driver(&client_id, config, connector, clock);
    spawn(driver);
    client.first_connected().await?;
    Ok(client)
}
