//! A crowd without tokens at a server that has some, beside a client with one.
//!
//! The crowd may read. It shares the limits of one subject, because it comes from one address.

use std::time::Instant;

use futures_util::future::try_join_all;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{ClientMessage, Operation};

use super::floods::{MESSAGES, Replies, flood_from, reads, requests};
use crate::attack::Attack;
use crate::deployment::ServerSetup;
use crate::raw_socket::{ATTACKER, RawSocket, messages};
use crate::scene::Scene;

/// Sockets of the crowd.
const SOCKETS: usize = 40;

/// A server whose clients have tokens.
const WITH_TOKENS: ServerSetup = ServerSetup {
    with_tokens: true,
    ..ServerSetup::DEFAULT
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "anonymous-reads",
        "reads, as fast as 40 sockets without a token can send them",
        |scene| Box::pin(flood_from(scene, SOCKETS, Replies::Read, reads)),
    )
    .server(WITH_TOKENS)
    .on_both(),
    Attack::new(
        "anonymous-adds",
        "adds that nobody without a token may make",
        |scene| Box::pin(flood_from(scene, SOCKETS, Replies::Read, adds)),
    )
    .server(WITH_TOKENS),
    Attack::new(
        "anonymous-tokens",
        "invalid tokens on open sockets",
        |scene| Box::pin(flood_from(scene, SOCKETS, Replies::Read, tokens)),
    )
    .server(WITH_TOKENS),
    Attack::new(
        "anonymous-connections",
        "sockets that never say hello, as fast as an address may open them",
        |scene| Box::pin(connections(scene)),
    )
    .server(WITH_TOKENS),
];

fn adds() -> (Encoding, Vec<u8>) {
    requests(|| Operation::Add {
        stream: "s".into(),
        fields: vec![("f".into(), "v".into())],
        maxlen: None,
    })
}

fn tokens() -> (Encoding, Vec<u8>) {
    let tokens = (0..MESSAGES).map(|number| ClientMessage::Authenticate {
        token: format!("eyJhbGciOiJIUzI1NiJ9.{number}.c2lnbmF0dXJl").into(),
    });
    (Encoding::Binary, messages(Encoding::Binary, tokens))
}

/// Opens sockets one after the other, keeps the last ones, and says hello on none.
async fn connections(scene: &Scene) -> anyhow::Result<()> {
    /// Sockets that one attacker keeps.
    const KEPT: usize = 16;
    let end = Instant::now() + scene.length();
    let attackers = (0..SOCKETS).map(async |_| {
        let mut kept = Vec::new();
        let mut refused = 0_usize;
        while Instant::now() < end {
            match RawSocket::open(scene.address, ATTACKER, Encoding::Binary, "").await {
                Ok(socket) => kept.push(socket),
                // Its address opens too many.
                Err(_) => refused += 1,
            }
            if kept.len() > KEPT {
                kept.remove(0);
            }
        }
        anyhow::Ok(refused)
    });
    let refused: usize = try_join_all(attackers).await?.into_iter().sum();
    scene.check(refused > 0, || "every connection was accepted".to_owned());
    Ok(())
}
