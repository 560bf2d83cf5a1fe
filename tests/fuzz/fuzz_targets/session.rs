//! A session with arbitrary frames, on streams in memory, in paused time.
//!
//! The first byte of the input chooses the encoding. Pieces follow: a byte that says what a piece
//! is, two for its length, and as many bytes.

#![no_main]

use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use streamgate::{Config, Server, fuzzing};
use streamgate_memory::MemoryStreams;
use streamgate_protocol::ClientMessage;
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::message::Hello;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

/// Longer than any deadline of a session: time is paused, so this costs nothing.
const HANG_LIMIT: Duration = Duration::from_secs(3_600);

/// Less than an answer may have, so that a session also waits for its client.
const BUFFER_BYTES: usize = 4_096;

/// A small bound, so that inputs exceed it.
const MAX_FRAME_BYTES: u32 = 4 * 1024 * 1024;

/// The bits of a frame's first two bytes, as RFC 6455 defines them.
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

fuzz_target!(|input: &[u8]| {
    let Some((first, pieces)) = input.split_first() else {
        return;
    };
    let encoding = Encoding::ALL[usize::from(*first) % Encoding::ALL.len()];
    let bytes = stream(encoding, pieces);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O");
    runtime.block_on(async {
        let config = Config::default().max_frame_bytes(MAX_FRAME_BYTES);
        let server = Server::new(Arc::new(MemoryStreams::new()), config).expect("valid settings");
        let (near, far) = duplex(BUFFER_BYTES);
        let (mut reader, mut writer) = tokio::io::split(near);
        let client = async {
            // The session may end before it has read all.
            let _ = writer.write_all(&bytes).await;
            let _ = writer.shutdown().await;
        };
        let drain = async {
            let mut answers = Vec::new();
            let _ = reader.read_to_end(&mut answers).await;
        };
        let session = fuzzing::serve(&server, far, encoding);
        let all = async { tokio::join!(session, client, drain) };
        let ended = tokio::time::timeout(HANG_LIMIT, all).await;
        assert!(ended.is_ok(), "the session does not end");
    });
});

/// Returns what the client sends: a hello, and the pieces.
fn stream(encoding: Encoding, mut pieces: &[u8]) -> Vec<u8> {
    let opcode = if encoding.is_text() { 1 } else { 2 };
    let mut hello = Vec::new();
    encoding.append(
        &mut hello,
        &ClientMessage::Hello(Hello::new("fuzz", 65_536)),
    );
    let mut bytes = Vec::new();
    frame(&mut bytes, FIN | opcode, &hello);
    while let [kind, high, low, rest @ ..] = pieces {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (piece, after) = rest.split_at(length);
        match kind % 4 {
            // Most are whole messages.
            0 | 1 => frame(&mut bytes, FIN | opcode, piece),
            2 => match piece.split_first() {
                Some((first, payload)) => frame(&mut bytes, *first, payload),
                None => {}
            },
            _ => bytes.extend_from_slice(piece),
        }
        pieces = after;
    }
    bytes
}

/// Appends a frame whose mask changes nothing.
fn frame(bytes: &mut Vec<u8>, first: u8, payload: &[u8]) {
    bytes.push(first);
    match payload.len() {
        length @ 0..126 => bytes.push(MASKED | length as u8),
        length => {
            bytes.push(MASKED | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
}
