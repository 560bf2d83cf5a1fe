//! A TCP relay on loopback that fails when it is told to.
//!
//! ```no_run
//! use streamgate_test_support::relay::{Cut, Flow, Relay, Scope, Way};
//!
//! # async fn example(proxy: std::net::SocketAddr) -> anyhow::Result<()> {
//! let relay = Relay::start(proxy).await?;
//! // A client that connects to `relay.address()` speaks with the proxy. What it asks for next is
//! // done, and the answer is lost:
//! relay.set(Scope::Present, Way::ToClient, Flow::CutAfter(0, Cut::Reset));
//! relay.until(|counts| counts.cut == 1).await?;
//! # Ok(())
//! # }
//! ```

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::connection::{Connection, Orders};

mod connection;
mod flow;
mod pump;
#[cfg(test)]
mod tests;

pub use self::flow::{Cut, Flow, Scope, Way};

/// Connections that are relayed at once; more are refused. More than a test makes, so that only one
/// that runs away meets it, before the file handles are used up.
pub const MAX_CONNECTIONS: usize = 128;

/// Longest wait for an event: far more than any takes on a busy machine, and short enough to be
/// noticed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pause behind a connection that could not be accepted: the causes, such as no file handle left,
/// do not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A relay between those who connect to it and one target. It ends when it is dropped, with all its
/// connections.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What has happened at a relay so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that came and were relayed, or were to be.
    pub accepted: u64,
    /// Connections that came and were reset at once, because of an order or of
    /// [`MAX_CONNECTIONS`].
    pub refused: u64,
    /// Accepted ones for which the target could not be reached; they were reset.
    pub unreachable: u64,
    /// Connections that were cut, by [`Relay::cut`] or by their [`Flow`].
    pub cut: u64,
    /// Connections that there are.
    pub open: u64,
}

struct Shared {
    state: Mutex<State>,
    counts: watch::Sender<Counts>,
}

struct State {
    target: SocketAddr,
    refuses: bool,
    /// How bytes of those who will come go, to the target and to the client.
    future: [Flow; 2],
    present: HashMap<u64, Orders>,
    next: u64,
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
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
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

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Relays those who come from now on to another target.
    pub fn set_target(&self, target: SocketAddr) {
        self.shared.state().target = target;
    }

    /// Says how bytes go from now on. What is held already goes by the new rule too.
    pub fn set(&self, scope: Scope, way: Way, flow: Flow) {
        let mut state = self.shared.state();
        for &place in way.places() {
            if scope.is_future() {
                state.future[place] = flow;
            }
            let present = state.present.iter();
            for (_, orders) in present.filter(|(number, _)| scope.holds_for(**number)) {
                orders.set(place, flow);
            }
        }
    }

    /// Cuts all connections that there are, and returns how many that is. They are gone soon: see
    /// [`Counts::cut`] and [`Counts::open`].
    pub fn cut(&self, cut: Cut) -> usize {
        let state = self.shared.state();
        for orders in state.present.values() {
            orders.cut(cut);
        }
        state.present.len()
    }

    /// Resets those who come from now on at once, or relays them again.
    pub fn refuse(&self, refuses: bool) {
        self.shared.state().refuses = refuses;
    }

    /// Ends every fault: bytes pass, of all connections, and nobody is refused.
    pub fn heal(&self) {
        self.refuse(false);
        self.set(Scope::All, Way::Both, Flow::Pass);
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Waits until what has happened is as wanted.
    ///
    /// # Errors
    ///
    /// It does not come to that within 20 s.
    pub async fn until(&self, wanted: impl Fn(&Counts) -> bool) -> anyhow::Result<Counts> {
        let mut counts = self.shared.counts.subscribe();
        let holds = counts.wait_for(|counts| wanted(counts));
        match tokio::time::timeout(PATIENCE, holds).await {
            Ok(counts) => Ok(*counts.context("the relay is gone")?),
            Err(_) => bail!("it did not come to that; so far: {:?}", self.counts()),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds it can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Aborted with this task.
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

/// Notes a connection that came, unless it is refused.
fn admit(shared: &Shared, client: &TcpStream) -> Option<(u64, Connection)> {
    let mut state = shared.state();
    if state.refuses || state.present.len() >= MAX_CONNECTIONS {
        // Where that fails the connection is closed instead, which is a refusal too.
        let _ = client.set_zero_linger();
        shared.count(|counts| counts.refused += 1);
        return None;
    }
    let (orders, connection) = connection::new(state.target, state.future);
    let id = state.next;
    state.next += 1;
    state.present.insert(id, orders);
    shared.count(|counts| {
        counts.accepted += 1;
        counts.open += 1;
    });
    Some((id, connection))
}

async fn relay(shared: Arc<Shared>, (id, connection): (u64, Connection), client: TcpStream) {
    let ended = connection.run(client).await;
    shared.state().present.remove(&id);
    shared.count(|counts| {
        counts.open -= 1;
        match ended {
            connection::Ended::Left => {}
            connection::Ended::Cut => counts.cut += 1,
            connection::Ended::Unreachable => counts.unreachable += 1,
        }
    });
}
