//! One connection that is relayed.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::flow::{Cut, Flow};
use super::pump::{self, pump};

/// Longest time that a connection to the target may take to be made; on loopback it is made or
/// refused at once, unless the target's queue of them is full.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection is told.
pub(super) struct Orders {
    flows: [watch::Sender<Flow>; 2],
    cut: watch::Sender<Option<Cut>>,
}

/// What it hears.
pub(super) struct Connection {
    target: SocketAddr,
    flows: [watch::Receiver<Flow>; 2],
    cut: watch::Receiver<Option<Cut>>,
}

/// How it ended.
pub(super) enum Ended {
    /// By one of its sides.
    Left,
    /// By the relay.
    Cut,
    /// Before it began.
    Unreachable,
}

pub(super) fn new(target: SocketAddr, flows: [Flow; 2]) -> (Orders, Connection) {
    let flows = flows.map(watch::Sender::new);
    let cut = watch::Sender::new(None);
    let connection = Connection {
        target,
        flows: flows.each_ref().map(watch::Sender::subscribe),
        cut: cut.subscribe(),
    };
    (Orders { flows, cut }, connection)
}

impl Orders {
    pub(super) fn set(&self, place: usize, flow: Flow) {
        self.flows[place].send_replace(flow);
    }

    pub(super) fn cut(&self, cut: Cut) {
        self.cut.send_replace(Some(cut));
    }
}

impl Connection {
    pub(super) async fn run(mut self, mut client: TcpStream) -> Ended {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(self.target));
        let mut target = tokio::select! {
            cut = ordered(&mut self.cut) => {
                end(&[&client], cut);
                return Ended::Cut;
            }
            connected = connecting => {
                let Ok(Ok(target)) = connected else {
                    end(&[&client], Cut::Reset);
                    return Ended::Unreachable;
                };
                target
            }
        };
        // What is relayed must not wait for more, or the relay would add delays of its own. Where
        // that fails it is only slower.
        let _ = client.set_nodelay(true);
        let _ = target.set_nodelay(true);
        let ended = {
            let (from_client, to_client) = client.split();
            let (from_target, to_target) = target.split();
            let [up, down] = self.flows;
            let pumps = async {
                tokio::try_join!(
                    pump(from_client, to_target, up),
                    pump(from_target, to_client, down)
                )
            };
            tokio::select! {
                // Orders first, so that a test that cuts finds nothing passed on behind that.
                biased;
                cut = ordered(&mut self.cut) => Err(pump::Ended::Cut(cut)),
                ended = pumps => ended.map(drop),
            }
        };
        match ended {
            Ok(()) => Ended::Left,
            Err(pump::Ended::Broken) => {
                // The other side is to see it broken too.
                end(&[&client, &target], Cut::Reset);
                Ended::Left
            }
            Err(pump::Ended::Cut(cut)) => {
                end(&[&client, &target], cut);
                Ended::Cut
            }
        }
    }
}

/// Ready when the connection is to be cut.
async fn ordered(cut: &mut watch::Receiver<Option<Cut>>) -> Cut {
    let ordered = cut.wait_for(Option::is_some).await.map(|cut| *cut);
    match ordered {
        Ok(Some(cut)) => cut,
        // Whoever gives orders is gone, and aborts this task.
        _ => std::future::pending().await,
    }
}

/// Makes the sockets end in a certain way when they are dropped, which they are right behind this.
fn end(sockets: &[&TcpStream], cut: Cut) {
    if cut == Cut::Reset {
        for socket in sockets {
            // A socket that is gone already needs no end.
            let _ = socket.set_zero_linger();
        }
    }
}
