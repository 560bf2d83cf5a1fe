//! Thousands of random frames, none of which may harm the server.

use futures_util::SinkExt;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::Credit;
use streamgate_protocol::{ClientMessage, ServerMessage, close};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{TestClient, add, grant, large_read, tail, wait};
use crate::test_server::TestServer;

/// Printed with a failure; change it by hand to try other frames.
const SEED: u64 = 0x5eed_0001;

const FRAMES: usize = 4_000;

/// The nonce of a ping that no random frame contains.
const LAST_NONCE: u64 = 0x1a57_1a57_1a57;

#[tokio::test]
async fn random_frames_never_harm_the_server() {
    for &encoding in Encoding::ALL {
        let server = TestServer::start().await;
        let mut random = fastrand::Rng::with_seed(SEED);
        let mut other = server.client(encoding).await;
        other.send(&[wait(1)]).await;
        let mut closes = 0;
        let mut sent = 0;
        while sent < FRAMES {
            let mut client = server.client(encoding).await;
            // Until the server has closed this socket, or by chance.
            loop {
                let frame = random_frame(&mut random, &client, encoding);
                sent += 1;
                let last = client.socket.send(frame).await.is_err() || sent >= FRAMES;
                if last || random.u8(..) < 64 {
                    break;
                }
            }
            // Either the server closes the socket with a documented code, or it goes on.
            let last = client.frame(&[ClientMessage::Ping { nonce: LAST_NONCE }]);
            let _ = client.socket.send(client.message(last)).await;
            if let Some(code) = close_code(&mut client).await {
                let documented = close::CLOSE_CODES.iter().any(|row| row.code == code);
                assert!(documented, "seed {SEED:#x}, after {sent} frames: {code}");
                closes += 1;
            }
        }
        assert!(
            closes > FRAMES / 50,
            "only {closes} of {sent} frames were refused"
        );
        other.ping(2).await;
        server.serves_other_clients().await;
    }
}

/// Returns the code of a close, or `None` if the server answers the last ping.
async fn close_code(client: &mut TestClient) -> Option<u16> {
    loop {
        match client.receive().await {
            Ok(ServerMessage::Pong { nonce: LAST_NONCE }) => return None,
            Ok(_) => {}
            Err(closed) => return Some(closed.code),
        }
    }
}

fn random_frame(random: &mut fastrand::Rng, client: &TestClient, encoding: Encoding) -> Message {
    if random.u8(..) < 4 {
        return if encoding.is_text() {
            Message::binary("x")
        } else {
            Message::text("x")
        };
    }
    let mut bytes = match random.u8(..4) {
        0 => (0..random.usize(..300)).map(|_| random.u8(..)).collect(),
        _ => {
            let id = random.u64(..40);
            let value = "v".repeat(random.usize(..200));
            let streams = ["endless", "gap", "broken", "idle"];
            let credit = Credit {
                entries: random.u64(..100),
                bytes: random.u64(..),
            };
            let messages = [
                add(id, "s", &value),
                wait(id),
                large_read(id, random.u64(..2000)),
                tail(id, streams[random.usize(..streams.len())], credit),
                grant(id, random.u64(..), random.u64(..)),
                ClientMessage::Cancel { id },
                ClientMessage::Ping {
                    nonce: random.u64(..),
                },
            ];
            let count = random.usize(1..=messages.len());
            let start = random.usize(..=messages.len() - count);
            client.frame(&messages[start..start + count])
        }
    };
    for _ in 0..random.usize(..4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.usize(..bytes.len());
        match random.u8(..4) {
            0 => bytes[at] = random.u8(..),
            1 => bytes.truncate(at),
            2 => bytes.insert(at, random.u8(..)),
            _ => {}
        }
    }
    if encoding.is_text() {
        Message::text(String::from_utf8_lossy(&bytes).into_owned())
    } else {
        Message::binary(bytes)
    }
}
