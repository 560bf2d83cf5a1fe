//! A TCP relay on loopback that injects faults.
//!
//! ```no_run
//! use streamgate_test_support::relay::{Cut, Flow, Relay, Scope, Direction};
//!
//! # async fn example(proxy: std::net::SocketAddr) -> anyhow::Result<()> {
//! let relay = Relay::start(proxy).await?;
//! // A client that connects to `relay.address()` reaches the proxy. The proxy performs the
//! // client's next request, and its reply is lost:
//! relay.set(Scope::Present, Direction::ToClient, Flow::CutAfter(0, Cut::Reset));
//! relay.until(|counts| counts.cut == 1).await?;
//! # Ok(())
//! # }
//! ```

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::connection::{Connection, ConnectionEnd, Controls};

mod connection;
mod flow;
mod forward;
#[cfg(test)]
mod tests;

pub use self::flow::{Cut, Direction, Flow, Scope};

/// Most connections at once; more are refused. More than a test makes, so that only a runaway test
/// meets it, before file handles run out.
pub const MAX_CONNECTIONS: usize = 128;

/// Longest wait for an event: far more than any takes on a busy machine. Catches hangs.
const EVENT_TIMEOUT: Duration = Duration::from_secs(20);

/// Pause after a connection that could not be accepted: causes such as a lack of file handles do
/// not disappear at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A relay between its clients and one target. Dropping it ends all its connections.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<RelayState>,
    accepting: JoinHandle<()>,
}

/// Counts of what has happened at a relay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were accepted for relaying.
    pub accepted: u64,
    /// Connections that were reset at once, by [`Relay::refuse`] or because of [`MAX_CONNECTIONS`].
    pub refused: u64,
    /// Accepted connections that were reset because the target could not be reached.
    pub unreachable: u64,
    /// Connections that were cut, by [`Relay::cut`] or by their [`Flow`].
    pub cut: u64,
    /// Connections that are open.
    pub open: u64,
    /// Connections that were cut by [`Cut::HalfOpen`] and whose target has not ended them yet.
    pub half_open: u64,
}

struct RelayState {
    state: Mutex<Settings>,
    counts: watch::Sender<Counts>,
}

struct Settings {
    target: SocketAddr,
    refuses: bool,
    /// The flows of future connections, to the target and to the client.
    future: [Flow; 2],
    present: HashMap<u64, Controls>,
    next: u64,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Relay {
    /// Starts a relay on a free port of loopback.
    ///
    /// # Errors
    ///
    /// No port can be listened on.
    pub async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(RelayState {
            state: Mutex::new(Settings {
                target,
                refuses: false,
                future: [Flow::Pass; 2],
                present: HashMap::new(),
                next: 0,
            }),
            counts: watch::Sender::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// Returns the address to which clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Relays future connections to another target.
    pub fn set_target(&self, target: SocketAddr) {
        self.shared.state().target = target;
    }

    /// Sets the flow of connections. It applies to bytes that are already held, too.
    pub fn set(&self, scope: Scope, direction: Direction, flow: Flow) {
        let mut state = self.shared.state();
        for &index in direction.indices() {
            if scope.is_future() {
                state.future[index] = flow;
            }
            let present = state.present.iter();
            for (_, controls) in present.filter(|(number, _)| scope.includes(**number)) {
                controls.set(index, flow);
            }
        }
    }

    /// Requests that all connections are cut, and returns their number. Wait for [`Counts::cut`] or
    /// [`Counts::open`] until it has happened.
    pub fn cut(&self, cut: Cut) -> usize {
        let state = self.shared.state();
        for controls in state.present.values() {
            controls.cut(cut);
        }
        state.present.len()
    }

    /// Resets future connections at once, or relays them again.
    pub fn refuse(&self, refuses: bool) {
        self.shared.state().refuses = refuses;
    }

    /// Ends every fault: the bytes of all connections pass, and no connection is refused.
    pub fn clear_faults(&self) {
        self.refuse(false);
        self.set(Scope::All, Direction::Both, Flow::Pass);
    }

    /// Returns the counts so far.
    pub fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Waits until the counts are as wanted.
    ///
    /// # Errors
    ///
    /// The counts are not as wanted within 20 s.
    pub async fn until(&self, wanted: impl Fn(&Counts) -> bool) -> anyhow::Result<Counts> {
        let mut counts = self.shared.counts.subscribe();
        let holds = counts.wait_for(|counts| wanted(counts));
        match tokio::time::timeout(EVENT_TIMEOUT, holds).await {
            Ok(counts) => Ok(*counts.context("the relay was dropped")?),
            Err(_) => bail!(
                "the relay's counts are not as wanted within {EVENT_TIMEOUT:?}: {:?}",
                self.counts()
            ),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl RelayState {
    fn state(&self) -> MutexGuard<'_, Settings> {
        // No code panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }
}

async fn accept(listener: TcpListener, shared: Arc<RelayState>) {
    // Dropping the set aborts the connections with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    if let Some(connection) = admit(&shared, &client) {
                        connections.spawn(relay(Arc::clone(&shared), connection, client));
                    }
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Registers a new connection, unless it is refused.
fn admit(shared: &RelayState, client: &TcpStream) -> Option<(u64, Connection)> {
    let mut state = shared.state();
    if state.refuses || is_full(shared, &state) {
        // If that fails, the connection is closed instead, which is a refusal too.
        let _ = client.set_zero_linger();
        shared.count(|counts| counts.refused += 1);
        return None;
    }
    let (controls, connection) = connection::new(state.target, state.future);
    let id = state.next;
    state.next += 1;
    state.present.insert(id, controls);
    shared.count(|counts| {
        counts.accepted += 1;
        counts.open += 1;
    });
    Some((id, connection))
}

fn is_full(shared: &RelayState, state: &Settings) -> bool {
    let half_open = shared.counts.borrow().half_open;
    state.present.len() as u64 + half_open >= MAX_CONNECTIONS as u64
}

async fn relay(shared: Arc<RelayState>, (id, connection): (u64, Connection), client: TcpStream) {
    let ended = connection.run(client).await;
    shared.state().present.remove(&id);
    shared.count(|counts| {
        counts.open -= 1;
        match ended {
            ConnectionEnd::Left => {}
            ConnectionEnd::Cut => counts.cut += 1,
            ConnectionEnd::HalfOpen(_) => {
                counts.cut += 1;
                counts.half_open += 1;
            }
            ConnectionEnd::Unreachable => counts.unreachable += 1,
        }
    });
    if let ConnectionEnd::HalfOpen(target) = ended {
        connection::discard(target).await;
        shared.count(|counts| counts.half_open -= 1);
    }
}
