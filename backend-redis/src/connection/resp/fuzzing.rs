//! What the fuzz target `resp` of `tests/fuzz` reaches, in its build only.

use redis::Value;

use super::reader::AnswerReader;

/// Reads the answers in bytes that arrive in pieces of a length, up to the first malformed one.
pub fn read_answers(bytes: &[u8], piece_length: usize) -> Vec<Value> {
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
                match reader.next() {
                    Ok(Some(value)) => values.push(value),
                    Ok(None) => break,
                    Err(_) => return values,
                }
            }
        }
    }
    values
}
