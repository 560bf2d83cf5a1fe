//! One relayed connection.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::flow::{Cut, Flow};
use super::forward::{self, forward};

/// Longest connect to the target. On loopback it succeeds or fails at once, unless the target's
/// backlog is full.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a half-open connection that are discarded at once.
const LOST_BYTES: usize = 16 * 1024;

/// The relay's side of a connection: it sets its flows and cuts it.
pub(super) struct Controls {
    flows: [watch::Sender<Flow>; 2],
    cut: watch::Sender<Option<Cut>>,
}

/// The connection, which follows its controls.
pub(super) struct Connection {
    target: SocketAddr,
    flows: [watch::Receiver<Flow>; 2],
    cut: watch::Receiver<Option<Cut>>,
}

/// How a connection ended.
pub(super) enum ConnectionEnd {
    /// By one of its sides.
    Left,
    /// By the relay.
    Cut,
    /// By the relay at the client's side alone. The target's socket is still open.
    HalfOpen(TcpStream),
    /// Before it began.
    Unreachable,
}

pub(super) fn new(target: SocketAddr, flows: [Flow; 2]) -> (Controls, Connection) {
    let flows = flows.map(watch::Sender::new);
    let cut = watch::Sender::new(None);
    let connection = Connection {
        target,
        flows: flows.each_ref().map(watch::Sender::subscribe),
        cut: cut.subscribe(),
    };
    (Controls { flows, cut }, connection)
}

impl Controls {
    pub(super) fn set(&self, index: usize, flow: Flow) {
        self.flows[index].send_replace(flow);
    }

    pub(super) fn cut(&self, cut: Cut) {
        self.cut.send_replace(Some(cut));
    }
}

impl Connection {
    pub(super) async fn run(mut self, mut client: TcpStream) -> ConnectionEnd {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(self.target));
        let mut target = tokio::select! {
            cut = cut_requested(&mut self.cut) => {
                end(&[&client], cut);
                return ConnectionEnd::Cut;
            }
            connected = connecting => {
                let Ok(Ok(target)) = connected else {
                    end(&[&client], Cut::Reset);
                    return ConnectionEnd::Unreachable;
                };
                target
            }
        };
        // Without it, Nagle's algorithm would add delays. A failure only makes the relay slower.
        let _ = client.set_nodelay(true);
        let _ = target.set_nodelay(true);
        let ended = {
            let (from_client, to_client) = client.split();
            let (from_target, to_target) = target.split();
            let [up, down] = self.flows;
            let pumps = async {
                tokio::try_join!(
                    forward(from_client, to_target, up),
                    forward(from_target, to_client, down)
                )
            };
            tokio::select! {
                // Cuts first, so that no byte passes after a test has cut the connection.
                biased;
                cut = cut_requested(&mut self.cut) => Err(forward::ForwardEnd::Cut(cut)),
                ended = pumps => ended.map(drop),
            }
        };
        match ended {
            Ok(()) => ConnectionEnd::Left,
            Err(forward::ForwardEnd::Broken) => {
                // The other side must see a broken connection too.
                end(&[&client, &target], Cut::Reset);
                ConnectionEnd::Left
            }
            Err(forward::ForwardEnd::Cut(Cut::HalfOpen)) => ConnectionEnd::HalfOpen(target),
            Err(forward::ForwardEnd::Cut(cut)) => {
                end(&[&client, &target], cut);
                ConnectionEnd::Cut
            }
        }
    }
}

/// Discards what a target sends, until it ends the connection.
pub(super) async fn discard(mut target: TcpStream) {
    let mut lost = vec![0; LOST_BYTES];
    while target.read(&mut lost).await.is_ok_and(|read| read > 0) {}
}

/// Completes when a cut is requested.
async fn cut_requested(cut: &mut watch::Receiver<Option<Cut>>) -> Cut {
    let cut_requested = cut.wait_for(Option::is_some).await.map(|cut| *cut);
    match cut_requested {
        Ok(Some(cut)) => cut,
        // The relay is gone, and aborts this task.
        _ => std::future::pending().await,
    }
}

/// Sets how the sockets end when they are dropped, right after this call.
fn end(sockets: &[&TcpStream], cut: Cut) {
    if cut == Cut::Reset {
        for socket in sockets {
            // Fails only on a socket that has ended already.
            let _ = socket.set_zero_linger();
        }
    }
}
