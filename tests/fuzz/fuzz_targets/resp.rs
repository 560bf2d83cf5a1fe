//! What Redis sends: the same values, wherever its bytes are split.

#![no_main]

use libfuzzer_sys::fuzz_target;
use streamgate_redis::internals::AnswerReader;

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes, usize::MAX);
    for piece_length in [1, 7, 4_096] {
        assert_eq!(whole, read(bytes, piece_length), "{piece_length}");
    }
});

/// Reads the answers in bytes that arrive in pieces of a length, up to the first malformed one.
///
/// As text, because a number that is none equals nothing.
fn read(bytes: &[u8], piece_length: usize) -> Vec<String> {
    let mut reader = AnswerReader::new();
    let mut values = Vec::new();
    for mut piece in bytes.chunks(piece_length) {
        while !piece.is_empty() {
            let space = reader.space();
            let taken = piece.len().min(space.len());
            space[..taken].copy_from_slice(&piece[..taken]);
            reader.filled(taken);
            piece = &piece[taken..];
            loop {
                match reader.next_value() {
                    Ok(Some(value)) => values.push(format!("{value:?}")),
                    Ok(None) => break,
                    Err(_) => return values,
                }
            }
        }
    }
    values
}
