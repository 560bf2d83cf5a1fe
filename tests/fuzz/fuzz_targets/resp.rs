//! What Redis sends: the same values, wherever its bytes are split.

#![no_main]

use libfuzzer_sys::fuzz_target;
use streamgate_redis::fuzzing;

fuzz_target!(|bytes: &[u8]| {
    let whole = fuzzing::read_answers(bytes, usize::MAX);
    for piece_length in [1, 7, 4_096] {
        assert_eq!(
            whole,
            fuzzing::read_answers(bytes, piece_length),
            "{piece_length}"
        );
    }
});
