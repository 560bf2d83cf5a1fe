//! What decoding costs in memory is bounded by the frame, whatever the frame claims.

use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{ClientMessage, ServerMessage};

use crate::vectors;

/// Bytes of memory per byte of a frame, at most. The worst is an empty string, one byte of a frame
/// and three words of memory, in a list that has just doubled: twice the room it needs, beside the
/// half that is being copied.
const PER_BYTE: u64 = 3 * size_of::<usize>() as u64 * 3;

/// What the shortest frames cost beside: the texts of errors, the first room of a list.
const SLACK: u64 = 4 * 1024;

/// The most memory held at once while a frame is decoded, as a client's and as a server's.
fn peak(encoding: Encoding, frame: &[u8]) -> u64 {
    let cost = allocation_counter::measure(|| {
        drop(vectors::decode::<ClientMessage<'_>>(encoding, frame));
        drop(vectors::decode::<ServerMessage>(encoding, frame));
    });
    cost.bytes_max
}

pub(crate) fn assert_bounded(encoding: Encoding, frame: &[u8]) {
    let peak = peak(encoding, frame);
    let bound = PER_BYTE * frame.len() as u64 + SLACK;
    assert!(
        peak <= bound,
        "{encoding:?}: {peak} bytes for a frame of {}",
        frame.len()
    );
}

#[test]
fn a_length_that_a_frame_only_claims_reserves_nothing() {
    let mut claims = 0;
    for vector in vectors::refused() {
        let (encoding, frame) = vector.decoded();
        assert!(peak(encoding, &frame) < SLACK, "{}", vector.name);
        claims += usize::from(vector.name.contains("2^60"));
    }
    assert_eq!(claims, 6, "vectors that claim a huge length");
}

#[test]
fn the_costliest_frames_are_bounded_too() {
    const ITEMS: usize = 1 << 20;
    // 2^20 as a varint.
    let many = [0x80, 0x80, 0x40];
    let ids = [&[0, 1, 5, 0, 0], &many[..], &vec![0; ITEMS]].concat();
    let fields = [&[0, 1, 0, 0], &many[..], &vec![0; 2 * ITEMS], &[0]].concat();
    let entries = [&[1, 1, 0, 1], &many[..], &vec![0; 2 * ITEMS], &[0]].concat();
    for frame in [ids, fields, entries] {
        let decoded = vectors::decode::<ClientMessage<'_>>(Encoding::Binary, &frame).is_ok()
            || vectors::decode::<ServerMessage>(Encoding::Binary, &frame).is_ok();
        assert!(decoded, "{:02x?}", &frame[..8]);
        assert_bounded(Encoding::Binary, &frame);
    }
    let text = "\"\",".repeat(ITEMS);
    let ids = text.trim_end_matches(',');
    let ids = format!(
        r#"{{"request":{{"id":1,"operation":{{"ack":{{"stream":"","group":"","ids":[{ids}]}}}}}}}}"#
    );
    assert!(vectors::client(&ids).is_ok());
    assert_bounded(Encoding::Json, ids.as_bytes());
}
