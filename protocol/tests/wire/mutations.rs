//! Golden vectors changed at random: nothing panics, memory stays bounded, and what still decodes
//! can be written and read again.

use fastrand::Rng;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{ClientMessage, ServerMessage};

use crate::memory::assert_bounded;
use crate::vectors;

const SEED: u64 = 0x5eed;
const ROUNDS: usize = 20_000;

/// Bytes that mean something to one of the encodings.
const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b'{'];

#[test]
fn random_changes_do_no_harm() {
    let seeds: Vec<(Encoding, Vec<u8>)> = vectors::messages()
        .into_iter()
        .chain(vectors::frames())
        .flat_map(|vector| {
            let binary = vectors::from_hex(&vector.binary);
            [
                (Encoding::Binary, binary),
                (Encoding::Json, vector.json.into_bytes()),
            ]
        })
        .collect();
    let mut random = Rng::with_seed(SEED);
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let (encoding, seed) = &seeds[random.usize(..seeds.len())];
        let (_, other) = &seeds[random.usize(..seeds.len())];
        let mut frame = seed.clone();
        for _ in 0..random.usize(1..=4) {
            change(&mut random, &mut frame, other);
        }
        assert_bounded(*encoding, &frame);
        for failed in [
            encoding
                .messages::<ClientMessage<'_>>(&frame)
                .any(|message| message.map(|message| survives(&message, round)).is_err()),
            encoding.messages::<ServerMessage>(&frame).any(|message| {
                message
                    .map(|message| survives_owned(&message, round))
                    .is_err()
            }),
        ] {
            if failed { refused += 1 } else { accepted += 1 }
        }
    }
    // Otherwise the changes are so coarse, or so fine, that they test nothing.
    assert!(
        accepted > ROUNDS / 20,
        "only {accepted} frames were accepted"
    );
    assert!(refused > ROUNDS / 20, "only {refused} frames were refused");
}

fn survives(message: &ClientMessage<'_>, round: usize) {
    for encoding in Encoding::ALL {
        let mut frame = Vec::new();
        encoding.append(&mut frame, message);
        let again = vectors::decode::<ClientMessage<'_>>(*encoding, &frame);
        assert_eq!(
            again.as_deref(),
            Ok(std::slice::from_ref(message)),
            "round {round}"
        );
    }
}

fn survives_owned(message: &ServerMessage, round: usize) {
    for encoding in Encoding::ALL {
        let mut frame = Vec::new();
        encoding.append(&mut frame, message);
        let again = vectors::decode::<ServerMessage>(*encoding, &frame);
        assert_eq!(
            again.as_deref(),
            Ok(std::slice::from_ref(message)),
            "round {round}"
        );
    }
}

fn change(random: &mut Rng, frame: &mut Vec<u8>, other: &[u8]) {
    if frame.is_empty() {
        frame.extend_from_slice(other);
        return;
    }
    let at = random.usize(..frame.len());
    match random.u8(..8) {
        0 => frame[at] ^= 1 << random.u8(..8),
        1 => frame[at] = random.u8(..),
        2 => frame[at] = random.choice(TELLING).unwrap_or(0),
        3 => frame.insert(at, random.u8(..)),
        4 => drop(frame.remove(at)),
        5 => frame.truncate(at),
        6 => {
            let end = random.usize(at..=frame.len());
            let copy = frame[at..end].to_vec();
            frame.splice(at..at, copy);
        }
        _ => {
            frame.truncate(at);
            frame.extend_from_slice(&other[random.usize(..other.len())..]);
        }
    }
}
