//! `--admin-listen`: where operators and their tools reach the server.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use super::CommandError;
use super::address::first_beyond_loopback;
use super::listening::{cannot_listen, resolve};

/// The value that turns the admin listener off.
const OFF: &str = "off";

/// The port unless `--admin-listen` names another: the one that OpenTelemetry gives exporters for
/// Prometheus.
const DEFAULT_PORT: u16 = 9464;

/// Binds the admin listener. Returns `None` if it is turned off, or if nobody asked for it and its
/// default port is taken: a second server on a machine must start all the same.
pub(super) async fn bind(listen: Option<&str>) -> Result<Option<TcpListener>, CommandError> {
    let flag = "--admin-listen";
    let listener = match listen {
        Some(OFF) => return Ok(None),
        Some(listen) => {
            let addresses = resolve(flag, listen).await?;
            if let Some(address) = first_beyond_loopback(&addresses) {
                tracing::warn!(
                    %address,
                    "other machines can reach the admin listener, which has no authentication"
                );
            }
            let bound = TcpListener::bind(&*addresses).await;
            bound.map_err(|error| cannot_listen(flag, listen, &error))?
        }
        None => {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT));
            match TcpListener::bind(address).await {
                Ok(listener) => listener,
                Err(error) => {
                    tracing::warn!(
                        %address,
                        %error,
                        "no admin listener; choose another address with --admin-listen, or \
                         --admin-listen off"
                    );
                    return Ok(None);
                }
            }
        }
    };
    if let Ok(address) = listener.local_addr() {
        tracing::info!("admin listener on http://{address}");
    }
    Ok(Some(listener))
}
