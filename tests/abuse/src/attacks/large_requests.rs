//! Requests with millions of parts, which are small on the wire and large in memory.

use streamgate_protocol::codec::Encoding;

use crate::attack::Attack;
use crate::raw_socket::{FIN, data_opcode, frame};
use crate::scene::Scene;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "add-with-8000000-fields",
        "adds of 16 MB that hold nothing but empty fields",
        |scene| Box::pin(send(scene, add(8_000_000))),
    )
    .on_both(),
    Attack::new(
        "add-with-5000-fields",
        "adds with somewhat too many fields",
        |scene| Box::pin(send(scene, add(5_000))),
    )
    .on_both(),
    Attack::new(
        "ack-with-16000000-ids",
        "acks of 16 MB that hold nothing but empty ids",
        |scene| Box::pin(send(scene, ack(16_000_000))),
    )
    .on_both(),
    Attack::new(
        "ack-with-20000-ids",
        "acks with somewhat too many ids",
        |scene| Box::pin(send(scene, ack_of(b"\x031-1", 20_000))),
    )
    .on_both(),
];

/// The numbers of `types.rs`.
const REQUEST: u8 = 1;
const ADD: u8 = 0;
const ACK: u8 = 5;

/// Sends a frame from two sockets, several times. Each must be refused with `LIMIT`.
async fn send(scene: &Scene, request: Vec<u8>) -> anyhow::Result<()> {
    let frame = frame(FIN | data_opcode(Encoding::Binary), &request);
    let rounds = scene.pick(1, 4);
    let attack = async || {
        let mut socket = scene.socket(Encoding::Binary).await?;
        for _ in 0..rounds {
            socket.send(&frame).await?;
            let codes = socket.codes(1).await?;
            scene.check(codes == ["LIMIT"], || {
                format!("a request ended with {codes:?}")
            });
        }
        anyhow::Ok(())
    };
    tokio::try_join!(attack(), attack())?;
    Ok(())
}

/// Returns an add with empty fields: two bytes each.
fn add(fields: usize) -> Vec<u8> {
    let mut content = text(b"s");
    content.extend(uint(fields));
    content.resize(content.len() + 2 * fields, 0);
    request(ADD, &content)
}

/// Returns an ack with empty ids: a byte each.
fn ack(ids: usize) -> Vec<u8> {
    ack_of(b"\0", ids)
}

/// Returns an ack with this id repeated.
fn ack_of(id: &[u8], ids: usize) -> Vec<u8> {
    let mut content = [text(b"s"), text(b"g"), uint(ids)].concat();
    content.extend(id.repeat(ids));
    request(ACK, &content)
}

fn request(operation: u8, content: &[u8]) -> Vec<u8> {
    let mut request = vec![7, operation];
    request.extend(uint(content.len()));
    request.extend_from_slice(content);
    [vec![REQUEST], uint(request.len()), request].concat()
}

fn text(text: &[u8]) -> Vec<u8> {
    [uint(text.len()), text.to_vec()].concat()
}

/// Returns a number: seven bits a byte, lowest first.
fn uint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use streamgate_protocol::{ClientMessage, Operation};

    use super::*;

    #[test]
    fn requests_are_those_of_the_protocol() {
        for (bytes, expected) in [
            (
                add(200),
                Operation::Add {
                    stream: "s".into(),
                    fields: vec![("".into(), "".into()); 200],
                    maxlen: None,
                },
            ),
            (
                ack(200),
                Operation::Ack {
                    stream: "s".into(),
                    group: "g".into(),
                    ids: vec!["".into(); 200],
                },
            ),
            (
                ack_of(b"\x031-1", 2),
                Operation::Ack {
                    stream: "s".into(),
                    group: "g".into(),
                    ids: vec!["1-1".into(); 2],
                },
            ),
        ] {
            let message = Encoding::Binary
                .messages::<ClientMessage<'_>>(&bytes)
                .next();
            let request = ClientMessage::Request {
                id: 7,
                operation: expected,
            };
            assert_eq!(message, Some(Ok(request)));
        }
    }
}
