//! Sentinels that answer as a script says.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::connection::endpoint::ConnectionSettings;

/// What a Sentinel answers: a port, an epoch, and how long it waits before.
type Script = (u16, u64, Duration);

const AT_ONCE: Duration = Duration::ZERO;
const LIMIT: Duration = Duration::from_secs(5);

struct Scripted {
    address: String,
    script: watch::Sender<Script>,
    task: JoinHandle<()>,
}

impl Scripted {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (script, scripts) = watch::channel(script);
        let task = tokio::spawn(async move {
            let mut sockets = tokio::task::JoinSet::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let scripts = scripts.clone();
                sockets.spawn(async move {
                    let mut asked = Vec::new();
                    while let Ok(1..) = socket.read_buf(&mut asked).await {
                        if !asked.ends_with(b"orders\r\n") || asked.len() < 60 {
                            continue;
                        }
                        asked.clear();
                        let (port, epoch, pause) = *scripts.borrow();
                        tokio::time::sleep(pause).await;
                        let (port, epoch) = (port.to_string(), epoch.to_string());
                        let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
                        let master = bulk("config-epoch") + &bulk(&epoch);
                        let address = bulk("10.0.0.1") + &bulk(&port);
                        let answers = format!("*2\r\n{master}*2\r\n{address}");
                        if socket.write_all(answers.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self {
            address,
            script,
            task,
        }
    }
}

fn endpoint(scripted: &[Scripted]) -> Endpoint {
    let addresses: Vec<_> = scripted.iter().map(|it| it.address.as_str()).collect();
    let url = format!("redis+sentinel://{}/orders", addresses.join(","));
    Endpoint::new(&url, ConnectionSettings::default()).unwrap()
}

async fn port(endpoint: &Endpoint) -> (u16, bool) {
    let asked = endpoint.sentinels().unwrap().master(endpoint, LIMIT).await;
    let Ok(named) = asked else {
        panic!("no answer");
    };
    (named.server.port, named.by_majority)
}

#[tokio::test]
async fn the_newest_answer_counts_though_a_majority_gave_an_older_one_before() {
    let scripts = [(1, 7, AT_ONCE), (1, 7, AT_ONCE), (2, 8, LATE / 4)];
    let mut scripted = Vec::new();
    for script in scripts {
        scripted.push(Scripted::start(script).await);
    }
    let endpoint = endpoint(&scripted);
    assert_eq!(port(&endpoint).await, (2, true));
    // The one that led the failover may be gone before the others know of it.
    scripted[2].script.send_replace((2, 8, LIMIT));
    assert_eq!(port(&endpoint).await, (2, true));
}

#[tokio::test]
async fn fewer_than_a_majority_do_not_lead_back_to_an_older_master() {
    let mut scripted = Vec::new();
    for _ in 0..3 {
        scripted.push(Scripted::start((2, 8, AT_ONCE)).await);
    }
    let endpoint = endpoint(&scripted);
    assert_eq!(port(&endpoint).await, (2, true));
    scripted[0].script.send_replace((1, 7, AT_ONCE));
    for gone in scripted.drain(1..) {
        gone.task.abort();
        assert!(gone.task.await.unwrap_err().is_cancelled());
    }
    assert_eq!(port(&endpoint).await, (2, false));
    scripted[0].script.send_replace((3, 9, AT_ONCE));
    assert_eq!(port(&endpoint).await, (3, false));
}

#[tokio::test]
async fn all_are_believed_after_their_epochs_began_anew() {
    let mut scripted = Vec::new();
    for _ in 0..2 {
        scripted.push(Scripted::start((2, 8, AT_ONCE)).await);
    }
    let endpoint = endpoint(&scripted);
    assert_eq!(port(&endpoint).await, (2, true));
    for sentinel in &scripted {
        sentinel.script.send_replace((1, 0, AT_ONCE));
    }
    assert_eq!(port(&endpoint).await, (1, true));
}
