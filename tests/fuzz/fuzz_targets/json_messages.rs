//! Messages of both sides in JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;
use streamgate_protocol::codec::Encoding;

#[path = "common/round_trip.rs"]
mod round_trip;

// A WebSocket passes on no text that is not UTF-8.
fuzz_target!(|frame: &str| round_trip::check(Encoding::Json, frame.as_bytes()));
