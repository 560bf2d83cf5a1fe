//! Whatever is decoded is the same after it was encoded and decoded again, in both encodings.

use std::fmt::Debug;

use streamgate_protocol::codec::{Encoding, Message};
use streamgate_protocol::{ClientMessage, ServerMessage};

/// Decodes a frame as messages of either side.
pub(crate) fn check(encoding: Encoding, frame: &[u8]) {
    for message in encoding.messages::<ClientMessage<'_>>(frame).flatten() {
        for &other in Encoding::ALL {
            let mut bytes = Vec::new();
            other.append(&mut bytes, &message);
            compare(&message, other.messages(&bytes));
        }
    }
    for message in encoding.messages::<ServerMessage>(frame).flatten() {
        for &other in Encoding::ALL {
            let mut bytes = Vec::new();
            other.append(&mut bytes, &message);
            compare(&message, other.messages(&bytes));
        }
    }
}

fn compare<'a, M, N, E>(message: &M, again: impl Iterator<Item = Result<N, E>>)
where
    M: Debug + PartialEq<N>,
    N: Debug + Message<'a>,
    E: Debug + PartialEq,
{
    let again: Vec<_> = again.collect();
    let [Ok(again)] = &again[..] else {
        panic!("{message:?} became {again:?}");
    };
    assert_eq!(message, again);
}
