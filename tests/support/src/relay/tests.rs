//! Each fault, between a client and a target of this process.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A relay in front of a listener, and a connection through it.
struct Pair {
    relay: Relay,
    listener: TcpListener,
    client: TcpStream,
    target: TcpStream,
}

impl Pair {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::start(listener.local_addr().unwrap()).await.unwrap();
        let (client, target) = join(&relay, &listener).await;
        Self {
            relay,
            listener,
            client,
            target,
        }
    }
}

async fn join(relay: &Relay, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(relay.address()).await.unwrap();
    let (target, _) = listener.accept().await.unwrap();
    (client, target)
}

async fn passes(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).await.unwrap();
    let mut came = vec![0; bytes.len()];
    to.read_exact(&mut came).await.unwrap();
    assert_eq!(came, bytes);
}

/// Reads to the end, and returns the bytes and the end.
async fn rest(stream: &mut TcpStream) -> (Vec<u8>, Result<(), ErrorKind>) {
    let mut came = Vec::new();
    let end = stream.read_to_end(&mut came).await;
    (came, end.map(drop).map_err(|error| error.kind()))
}

#[tokio::test]
async fn bytes_and_ends_pass_both_ways() {
    let mut pair = Pair::new().await;
    passes(&mut pair.client, &mut pair.target, b"there").await;
    passes(&mut pair.target, &mut pair.client, b"and back").await;
    pair.client.shutdown().await.unwrap();
    assert_eq!(rest(&mut pair.target).await, (vec![], Ok(())));
    passes(&mut pair.target, &mut pair.client, b"one side is open").await;
    drop(pair.target);
    assert_eq!(rest(&mut pair.client).await, (vec![], Ok(())));
    let counts = pair.relay.until(|counts| counts.open == 0).await.unwrap();
    assert_eq!((counts.accepted, counts.cut), (1, 0));
}

#[tokio::test]
async fn a_flow_can_be_set_for_one_connection() {
    let mut pair = Pair::new().await;
    let (mut client, mut target) = join(&pair.relay, &pair.listener).await;
    let lost = Flow::CutAfter(0, Cut::Close);
    pair.relay.set(Scope::Nth(1), Direction::ToTarget, lost);
    client.write_all(b"lost").await.unwrap();
    assert_eq!(rest(&mut target).await, (vec![], Ok(())));
    passes(&mut pair.client, &mut pair.target, b"not for this").await;
    let (mut client, mut target) = join(&pair.relay, &pair.listener).await;
    passes(&mut client, &mut target, b"nor for this").await;
}

#[tokio::test]
async fn a_cut_ends_both_sides_of_open_connections_only() {
    for (cut, end) in [
        (Cut::Close, Ok(())),
        (Cut::Reset, Err(ErrorKind::ConnectionReset)),
    ] {
        let mut pair = Pair::new().await;
        passes(&mut pair.client, &mut pair.target, b"a").await;
        assert_eq!(pair.relay.cut(cut), 1);
        assert_eq!(rest(&mut pair.client).await, (vec![], end));
        assert_eq!(rest(&mut pair.target).await, (vec![], end));
        pair.relay.until(|counts| counts.cut == 1).await.unwrap();
        let (mut client, mut target) = join(&pair.relay, &pair.listener).await;
        passes(&mut client, &mut target, b"another").await;
    }
}

#[tokio::test]
async fn the_target_of_a_half_open_connection_hears_nothing_and_notices_nothing() {
    let mut pair = Pair::new().await;
    passes(&mut pair.client, &mut pair.target, b"a").await;
    pair.relay.cut(Cut::HalfOpen);
    assert_eq!(rest(&mut pair.client).await, (vec![], Ok(())));
    let counts = pair.relay.until(|counts| counts.cut == 1).await.unwrap();
    assert_eq!((counts.open, counts.half_open), (0, 1));
    drop(pair.client);
    // More than the buffers on the way hold.
    pair.target.write_all(&vec![7; 16 << 20]).await.unwrap();
    let (mut client, mut target) = join(&pair.relay, &pair.listener).await;
    passes(&mut client, &mut target, b"another").await;
    let heard = pair.target.try_read(&mut [0]);
    assert_eq!(heard.map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
    drop(pair.target);
    pair.relay.until(|c| c.half_open == 0).await.unwrap();
}

#[tokio::test]
async fn a_refused_client_is_reset_and_others_continue() {
    let mut pair = Pair::new().await;
    pair.relay.refuse(true);
    let mut refused = TcpStream::connect(pair.relay.address()).await.unwrap();
    let (_, end) = rest(&mut refused).await;
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    passes(&mut pair.client, &mut pair.target, b"still here").await;
    pair.relay.clear_faults();
    let (mut client, mut target) = join(&pair.relay, &pair.listener).await;
    passes(&mut client, &mut target, b"again").await;
    assert_eq!(pair.relay.counts().refused, 1);
}

#[tokio::test]
async fn more_connections_than_the_bound_are_refused() {
    let pair = Pair::new().await;
    let mut clients = Vec::new();
    for _ in 1..MAX_CONNECTIONS {
        clients.push(TcpStream::connect(pair.relay.address()).await.unwrap());
    }
    let most = MAX_CONNECTIONS as u64;
    pair.relay
        .until(|counts| counts.accepted == most)
        .await
        .unwrap();
    let mut refused = TcpStream::connect(pair.relay.address()).await.unwrap();
    assert!(rest(&mut refused).await.1.is_err());
    assert_eq!(pair.relay.counts().refused, 1);
}

/// A cut shows that no stalled byte has passed before it.
#[tokio::test]
async fn a_stall_holds_bytes_of_its_direction() {
    let mut pair = Pair::new().await;
    pair.relay
        .set(Scope::Present, Direction::ToTarget, Flow::Stall);
    pair.client.write_all(b"held").await.unwrap();
    passes(&mut pair.target, &mut pair.client, b"the other way").await;
    let (mut client, mut target) = join(&pair.relay, &pair.listener).await;
    passes(&mut client, &mut target, b"came later").await;
    let cut = Flow::CutAfter(0, Cut::Close);
    pair.relay.set(Scope::Present, Direction::ToTarget, cut);
    assert_eq!(rest(&mut pair.target).await.0, b"");
}

#[tokio::test]
async fn stalled_bytes_pass_afterwards() {
    let mut pair = Pair::new().await;
    pair.relay.set(Scope::All, Direction::Both, Flow::Stall);
    pair.client.write_all(b"held").await.unwrap();
    pair.client.shutdown().await.unwrap();
    pair.relay.clear_faults();
    assert_eq!(rest(&mut pair.target).await, (b"held".to_vec(), Ok(())));
}

#[tokio::test]
async fn a_flow_for_the_future_applies_to_new_connections() {
    let mut pair = Pair::new().await;
    let cut = Flow::CutAfter(0, Cut::Close);
    pair.relay.set(Scope::Future, Direction::ToTarget, cut);
    passes(&mut pair.client, &mut pair.target, b"as before").await;
    let (mut client, mut target) = join(&pair.relay, &pair.listener).await;
    passes(&mut target, &mut client, b"the other way").await;
    client.write_all(b"x").await.unwrap();
    assert_eq!(rest(&mut target).await.0, b"");
    assert_eq!(
        pair.relay
            .until(|counts| counts.cut == 1)
            .await
            .unwrap()
            .open,
        1
    );
}

#[tokio::test]
async fn a_delay_is_of_each_byte_and_not_of_the_stream() {
    const DELAY: Duration = Duration::from_millis(100);
    const BYTES: usize = 20;
    let mut pair = Pair::new().await;
    pair.relay
        .set(Scope::Present, Direction::ToClient, Flow::Delay(DELAY));
    let start = Instant::now();
    for _ in 0..BYTES {
        pair.target.write_all(b"x").await.unwrap();
        tokio::task::yield_now().await;
    }
    pair.client.read_exact(&mut [0; BYTES]).await.unwrap();
    let took = start.elapsed();
    assert!(took >= DELAY, "{took:?}");
    assert!(took < DELAY * BYTES as u32, "{took:?}");
}

#[tokio::test]
async fn a_slow_connection_takes_its_time() {
    let mut pair = Pair::new().await;
    let slow = Flow::Slow(1000.try_into().unwrap());
    pair.relay.set(Scope::Present, Direction::ToTarget, slow);
    let start = Instant::now();
    passes(&mut pair.client, &mut pair.target, &[7; 200]).await;
    let took = start.elapsed();
    // The last share of a second's twentieth is not waited for.
    assert!(took >= Duration::from_millis(150), "{took:?}");
}

#[tokio::test]
async fn a_reply_is_cut_after_its_request_has_passed() {
    let mut pair = Pair::new().await;
    let cut = Flow::CutAfter(3, Cut::Reset);
    pair.relay.set(Scope::Present, Direction::ToClient, cut);
    passes(&mut pair.client, &mut pair.target, b"request").await;
    passes(&mut pair.target, &mut pair.client, b"ans").await;
    assert_eq!(
        pair.relay.counts().cut,
        0,
        "what passes may be all there is"
    );
    pair.target.write_all(b"wer").await.unwrap();
    let (came, end) = rest(&mut pair.client).await;
    assert_eq!((came.len(), end), (0, Err(ErrorKind::ConnectionReset)));
    pair.relay.until(|counts| counts.cut == 1).await.unwrap();
}

#[tokio::test]
async fn half_of_the_next_bytes_pass() {
    let mut pair = Pair::new().await;
    passes(&mut pair.target, &mut pair.client, b"before").await;
    let halve = Flow::CutHalfway(Cut::Close);
    pair.relay.set(Scope::Present, Direction::ToClient, halve);
    pair.target.write_all(b"abcdefgh").await.unwrap();
    assert_eq!(rest(&mut pair.client).await.0, b"abcd");
}

#[tokio::test]
async fn new_connections_go_to_another_target_or_none() {
    let mut pair = Pair::new().await;
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = other.local_addr().unwrap();
    pair.relay.set_target(address);
    let (mut client, mut target) = join(&pair.relay, &other).await;
    passes(&mut client, &mut target, b"to the other").await;
    passes(&mut pair.client, &mut pair.target, b"to the first").await;
    drop(other);
    let mut lost = TcpStream::connect(pair.relay.address()).await.unwrap();
    let (_, end) = rest(&mut lost).await;
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    assert_eq!(
        pair.relay.until(|c| c.unreachable == 1).await.unwrap().open,
        2
    );
}

#[tokio::test]
async fn a_broken_side_breaks_the_other() {
    let mut pair = Pair::new().await;
    passes(&mut pair.client, &mut pair.target, b"a").await;
    pair.client.set_zero_linger().unwrap();
    drop(pair.client);
    let (_, end) = rest(&mut pair.target).await;
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    assert_eq!(pair.relay.until(|c| c.open == 0).await.unwrap().cut, 0);
}

#[tokio::test]
async fn all_connections_end_with_the_relay() {
    let mut pair = Pair::new().await;
    let address = pair.relay.address();
    drop(pair.relay);
    for stream in [&mut pair.client, &mut pair.target] {
        assert_eq!(rest(stream).await.0, b"");
    }
    assert!(TcpStream::connect(address).await.is_err());
}
