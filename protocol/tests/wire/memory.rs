//! What decoding costs in memory is bounded by the frame, whatever the frame claims.

use streamgate_protocol::codec::Encoding;
use streamgate_protocol::limits::{MAX_FIELDS, MAX_IDS};
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
        if frame.len() < 1024 {
            assert!(peak(encoding, &frame) < SLACK, "{}", vector.name);
        } else {
            assert_bounded(encoding, &frame);
        }
        claims += usize::from(vector.name.contains("2^60"));
    }
    assert_eq!(claims, 7, "vectors that claim a huge length");
}

#[test]
fn a_request_with_a_list_beyond_its_bound_costs_no_more_than_the_bound() {
    const ITEMS: usize = 1 << 20;
    let many = varint(ITEMS);
    let request = |operation: Vec<u8>| choice(1, &[&[1], &operation]);
    let ids = request(choice(5, &[&[0, 0], &many, &vec![0; ITEMS]]));
    let fields = request(choice(0, &[&[0], &many, &vec![0; 2 * ITEMS], &[0]]));
    for frame in [ids, fields] {
        assert!(peak(Encoding::Binary, &frame) < SLACK);
    }
    let request = |operation: &str| format!(r#"{{"request":{{"id":1,"operation":{operation}}}}}"#);
    let items = |item: &str| vec![item; ITEMS].join(",");
    let ids = format!(
        r#"{{"ack":{{"stream":"","group":"","ids":[{}]}}}}"#,
        items(r#""""#)
    );
    let fields = format!(
        r#"{{"add":{{"stream":"","fields":[{}]}}}}"#,
        items(r#"["",""]"#)
    );
    for (operation, bytes) in [(ids, MAX_IDS * 24), (fields, MAX_FIELDS * 48)] {
        // A list that has just doubled takes room twice, beside the half that is being copied.
        let bound = 3 * bytes as u64 + SLACK;
        let peak = peak(Encoding::Json, request(&operation).as_bytes());
        assert!(peak <= bound, "{peak} bytes instead of {bound}");
    }
}

#[test]
fn the_costliest_frames_are_bounded_too() {
    const ITEMS: usize = 1 << 20;
    let many = varint(ITEMS);
    let request = |operation: Vec<u8>| choice(1, &[&[1], &operation]);
    let ids = varint(MAX_IDS);
    let ids = request(choice(5, &[&[0, 0], &ids, &[0; MAX_IDS]]));
    let fields = varint(MAX_FIELDS);
    let fields = request(choice(0, &[&[0], &fields, &[0; 2 * MAX_FIELDS], &[0]]));
    let reply = choice(1, &[&many, &vec![0; 2 * ITEMS], &[0, 0]]);
    let entries = choice(1, &[&[1], &choice(0, &[&reply])]);
    for frame in [ids, fields, entries] {
        let decoded = vectors::decode::<ClientMessage<'_>>(Encoding::Binary, &frame).is_ok()
            || vectors::decode::<ServerMessage>(Encoding::Binary, &frame).is_ok();
        assert!(decoded, "{:02x?}", &frame[..8]);
        assert_bounded(Encoding::Binary, &frame);
    }
    let text = "\"\",".repeat(MAX_IDS);
    let ids = text.trim_end_matches(',');
    let ids = format!(
        r#"{{"request":{{"id":1,"operation":{{"ack":{{"stream":"","group":"","ids":[{ids}]}}}}}}}}"#
    );
    assert!(vectors::client(&ids).is_ok());
    assert_bounded(Encoding::Json, ids.as_bytes());
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 128 {
        bytes.push((number % 128) as u8 | 128);
        number /= 128;
    }
    bytes.push(number as u8);
    bytes
}

/// An alternative of a choice: its number, the length of its record, and its fields.
fn choice(number: u8, fields: &[&[u8]]) -> Vec<u8> {
    let fields = fields.concat();
    [&[number][..], &varint(fields.len()), &fields].concat()
}
