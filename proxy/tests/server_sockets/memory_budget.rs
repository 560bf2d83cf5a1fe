//! The memory budget of a server: what counts, and what happens when it is used up.

use futures_util::SinkExt;
use streamgate::{Config, MIN_MEMORY_BYTES};
use streamgate_backend::MemoryBudget;
use streamgate_backend::memory_budget::MemoryKind;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{ClientMessage, close};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{add, large_read, wait};
use crate::test_server::TestServer;

async fn server_with(max_bytes: usize) -> (TestServer, MemoryBudget) {
    let budget = MemoryBudget::new(max_bytes);
    let config = Config::default().memory_budget(budget.clone());
    (TestServer::with(config).await, budget)
}

/// Returns when a condition holds; another client has round trips meanwhile.
async fn until(server: &TestServer, condition: impl Fn() -> bool) {
    let mut other = server.client(Encoding::Binary).await;
    let mut nonce = 0;
    while !condition() {
        nonce += 1;
        other.ping(nonce).await;
        tokio::task::yield_now().await;
    }
    other.close().await;
}

#[tokio::test]
async fn whoever_holds_most_is_closed_if_memory_is_used_up_and_others_are_served() {
    let (server, budget) = server_with(MIN_MEMORY_BYTES).await;
    let mut deaf = Vec::new();
    for _ in 0..4 {
        let mut client = server.client(Encoding::Binary).await;
        client
            .send(&[large_read(1, 15 << 20), large_read(2, 15 << 20)])
            .await;
        deaf.push(client);
    }
    until(&server, || budget.used_bytes() >= MIN_MEMORY_BYTES * 3 / 4).await;
    // Sockets are closed until there is room, and their memory is given back at once, although
    // their clients read nothing.
    until(&server, || budget.used_bytes() < MIN_MEMORY_BYTES).await;
    let mut honest = server.client(Encoding::Json).await;
    honest.send(&[add(1, "s", "v")]).await;
    honest.reply_to(1).await.unwrap();
    let mut evicted = 0;
    for client in &mut deaf {
        for _ in 1..=2 {
            // Those that were not closed get their replies once they read.
            if let Err(closed) = client.receive().await {
                // In the middle of a frame there is no room for the close.
                let codes = [close::OUT_OF_MEMORY, close::ABNORMAL];
                assert!(codes.contains(&closed.code), "{closed:?}");
                evicted += 1;
                break;
            }
        }
    }
    assert!(evicted > 0);
    drop((deaf, honest));
    until(&server, || budget.used_bytes() < 1 << 20).await;
}

#[tokio::test]
async fn a_request_for_which_there_is_no_memory_is_refused_and_not_begun() {
    for &encoding in Encoding::ALL {
        let (server, budget) = server_with(MIN_MEMORY_BYTES).await;
        let mut client = server.client(encoding).await;
        client.ping(1).await;
        let free = MIN_MEMORY_BYTES - budget.used_bytes();
        let held = budget.try_reserve(MemoryKind::Replies, free).unwrap();
        let value = "v".repeat(8 * 1024);
        client.send(&[add(1, "s", &value)]).await;
        assert_eq!(client.error_code_of(1).await, "OVERLOADED");
        assert!(server.backend.begun_adds().is_empty(), "nothing was done");
        // A small one needs no more than the socket has.
        client.send(&[add(1, "s", "v")]).await;
        client.reply_to(1).await.unwrap();
        drop(held);
        client.send(&[add(1, "s", &value)]).await;
        client.reply_to(1).await.unwrap();
    }
}

#[tokio::test]
async fn requests_and_waits_give_back_what_they_reserved() {
    let (server, budget) = server_with(MIN_MEMORY_BYTES).await;
    let requests = || budget.used_bytes_of(MemoryKind::Requests);
    let mut client = server.client(Encoding::Binary).await;
    let waits: Vec<_> = (0..100).map(wait).collect();
    client.send(&waits).await;
    client.send(&[add(100, "slow", &"v".repeat(10_000))]).await;
    server.backend.until_slow_adds(1).await;
    until(&server, || requests() > 100 * 1_024 + 15_000).await;
    server.backend.finish_slow_adds();
    client.reply_to(100).await.unwrap();
    let cancels: Vec<_> = (0..100).map(|id| ClientMessage::Cancel { id }).collect();
    client.send(&cancels).await;
    client.ping(1).await;
    until(&server, || requests() == 0).await;
}

#[tokio::test]
async fn a_frame_takes_memory_by_what_has_arrived() {
    let (server, budget) = server_with(MIN_MEMORY_BYTES).await;
    let frames = || budget.used_bytes_of(MemoryKind::Frames);
    let mut client = server.client(Encoding::Binary).await;
    // What arrived before does not count any more.
    client.send(&[add(1, "s", &"v".repeat(3 << 20))]).await;
    client.receive().await.unwrap();
    let (_reader, mut writer) = client.into_split();
    // Final, binary, masked with zeros, and 16 MiB long.
    let mut head = vec![0x82, 0x80 | 127];
    head.extend((16_u64 << 20).to_be_bytes());
    head.extend([0; 4]);
    writer.write_all(&head).await.unwrap();
    writer.write_all(&[0; 100]).await.unwrap();
    server.serves_other_clients().await;
    assert_eq!(frames(), 0, "less than a step");
    writer.write_all(&vec![0; 1 << 20]).await.unwrap();
    // All but the last step.
    until(&server, || frames() > 1_000_000).await;
    server.serves_other_clients().await;
    assert!(frames() < 2 << 20, "{}", frames());
    drop((_reader, writer));
    until(&server, || frames() == 0).await;
}

#[tokio::test]
async fn pings_of_a_client_that_reads_nothing_take_no_memory() {
    let (server, budget) = server_with(MIN_MEMORY_BYTES).await;
    let mut client = server.client(Encoding::Binary).await;
    for n in 0..50_000_u32 {
        let mut payload = vec![0; 125];
        payload[..4].copy_from_slice(&n.to_be_bytes());
        client
            .socket
            .feed(Message::Ping(payload.into()))
            .await
            .unwrap();
    }
    client.socket.flush().await.unwrap();
    server.serves_other_clients().await;
    // The server answered the pings, and the last of them.
    client.ping(1).await;
    assert!(budget.used_bytes() < 1 << 20);
}

/// The WebSocket library keeps its buffers for the life of a socket.
#[tokio::test]
async fn the_buffers_of_a_socket_count_after_large_frames() {
    for &encoding in Encoding::ALL {
        let (server, budget) = server_with(MIN_MEMORY_BYTES).await;
        let sockets = || budget.used_bytes_of(MemoryKind::Sockets);
        let mut client = server.client(encoding).await;
        client.ping(1).await;
        let idle = sockets();
        client.send(&[add(1, "s", &"v".repeat(100_000))]).await;
        client.reply_to(1).await.unwrap();
        until(&server, || sockets() >= idle + (32 << 10)).await;
        client.send(&[large_read(2, 100_000)]).await;
        client.reply_to(2).await.unwrap();
        until(&server, || sockets() >= idle + (64 << 10)).await;
        server.serves_other_clients().await;
        assert!(sockets() <= idle + (160 << 10), "{}", sockets() - idle);
        drop(client);
        until(&server, || sockets() < idle + (32 << 10)).await;
    }
}
