//! Messages of both sides in the binary encoding.

#![no_main]

use libfuzzer_sys::fuzz_target;
use streamgate_protocol::codec::Encoding;

#[path = "common/round_trip.rs"]
mod round_trip;

fuzz_target!(|frame: &[u8]| round_trip::check(Encoding::Binary, frame));
