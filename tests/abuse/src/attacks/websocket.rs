//! Frames that RFC 6455 forbids, and the close code that each has to end with.

use streamgate_protocol::close::{
    INVALID_TEXT, MALFORMED, MESSAGE_TOO_LARGE, UNSUPPORTED_DATA, WEBSOCKET_ERROR, WRONG_FRAME_TYPE,
};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::{ClientMessage, Operation};

use crate::attack::Attack;
use crate::raw_socket::{
    ATTACKER, FIN, RSV1, RawSocket, data_opcode, frame, header, messages, opcode, request,
};
use crate::scene::Scene;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "websocket-violations",
        "frames that RFC 6455 forbids",
        |scene| Box::pin(violations(scene)),
    ),
    Attack::new(
        "websocket-fragments",
        "requests in many fragments, with control frames between them: they are served",
        |scene| Box::pin(fragments(scene)),
    ),
    Attack::new(
        "websocket-compression",
        "an offer of compression, and compressed frames",
        |scene| Box::pin(compression(scene)),
    ),
];

/// Reserved bits and opcodes, section 5.2.
const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;

/// A name, what is sent, and the close codes that are right.
type Case = (&'static str, Encoding, Vec<u8>, &'static [u16]);

fn cases() -> Vec<Case> {
    use opcode::{BINARY, CLOSE, CONTINUATION, PING, TEXT};
    const ERROR: &[u16] = &[WEBSOCKET_ERROR];
    let close = |code: u16| frame(FIN | CLOSE, &code.to_be_bytes());
    let binary =
        |name, bytes, codes: &'static [u16]| -> Case { (name, Encoding::Binary, bytes, codes) };
    let json =
        |name, bytes, codes: &'static [u16]| -> Case { (name, Encoding::Json, bytes, codes) };
    vec![
        binary("a frame without a mask", vec![FIN | BINARY, 1, 0], ERROR),
        binary("reserved bit 1", frame(FIN | RSV1 | BINARY, b"x"), ERROR),
        binary("reserved bit 2", frame(FIN | RSV2 | BINARY, b"x"), ERROR),
        binary("reserved bit 3", frame(FIN | RSV3 | BINARY, b"x"), ERROR),
        binary(
            "reserved bit 1 on a ping",
            frame(FIN | RSV1 | PING, b"x"),
            ERROR,
        ),
        binary("reserved opcode 3", frame(FIN | 3, b"x"), ERROR),
        binary("reserved opcode 7", frame(FIN | 7, b"x"), ERROR),
        binary("reserved opcode 11", frame(FIN | 11, b"x"), ERROR),
        binary("reserved opcode 15", frame(FIN | 15, b"x"), ERROR),
        binary("a ping of 126 bytes", frame(FIN | PING, &[0; 126]), ERROR),
        binary("a close of 126 bytes", frame(FIN | CLOSE, &[3; 126]), ERROR),
        binary("a ping in fragments", frame(PING, b"x"), ERROR),
        binary(
            "a continuation of nothing",
            frame(FIN | CONTINUATION, b"x"),
            ERROR,
        ),
        binary(
            "a message within a message",
            [frame(BINARY, b"x"), frame(FIN | BINARY, b"x")].concat(),
            ERROR,
        ),
        binary("a close code of one byte", frame(FIN | CLOSE, &[3]), ERROR),
        binary("close code 0", close(0), ERROR),
        binary("close code 999", close(999), ERROR),
        binary("close code 1004", close(1004), ERROR),
        binary("close code 1005", close(1005), ERROR),
        binary("close code 1006", close(1006), ERROR),
        binary("close code 1015", close(1015), ERROR),
        binary("close code 65535", close(65_535), ERROR),
        binary(
            "a close reason that is not UTF-8",
            frame(FIN | CLOSE, b"\x03\xe8\xff\xfe"),
            &[WEBSOCKET_ERROR, INVALID_TEXT],
        ),
        binary(
            "a length above 2^63",
            header(FIN | BINARY, u64::MAX),
            &[WEBSOCKET_ERROR, MESSAGE_TOO_LARGE, 4413],
        ),
        binary(
            "a frame of 17 MiB",
            header(FIN | BINARY, 17 << 20),
            &[MESSAGE_TOO_LARGE, 4413],
        ),
        json(
            "text that is not UTF-8",
            frame(FIN | TEXT, b"\xff\xfe"),
            &[INVALID_TEXT],
        ),
        json(
            "text whose last character is cut",
            frame(FIN | TEXT, b"\xe2\x82"),
            &[INVALID_TEXT],
        ),
        json(
            "a surrogate",
            frame(FIN | TEXT, b"\xed\xa0\x80"),
            &[INVALID_TEXT],
        ),
        json(
            "binary where text was agreed",
            frame(FIN | BINARY, b"{}"),
            &[WRONG_FRAME_TYPE, UNSUPPORTED_DATA],
        ),
        binary(
            "text where binary was agreed",
            frame(FIN | TEXT, b"{}"),
            &[WRONG_FRAME_TYPE, UNSUPPORTED_DATA],
        ),
        json("no JSON", frame(FIN | TEXT, b"hello?"), &[MALFORMED]),
        json(
            "brackets without end",
            frame(FIN | TEXT, &[b'['; 1_000_000]),
            &[MALFORMED],
        ),
        json(
            "objects without end in an unknown field",
            frame(
                FIN | TEXT,
                &[
                    b"{\"ping\":{\"nonce\":1,\"x\":".as_slice(),
                    &b"{\"a\":".repeat(1_000_000),
                ]
                .concat(),
            ),
            &[MALFORMED],
        ),
        binary(
            "a record that is too long",
            frame(FIN | BINARY, b"\x01\xff\xff\x7f"),
            &[MALFORMED],
        ),
        binary(
            "a number without end",
            frame(FIN | BINARY, &[0xff; 100]),
            &[MALFORMED],
        ),
        binary(
            "a message of the server",
            frame(FIN | BINARY, &[99, 1, 0]),
            &[MALFORMED],
        ),
    ]
}

async fn violations(scene: &Scene) -> anyhow::Result<()> {
    for (name, encoding, bytes, codes) in cases() {
        let mut socket = scene.socket(encoding).await?;
        // A server may close before it has read all.
        let _ = socket.send(&bytes).await;
        match socket.close_code().await {
            Ok(Some(code)) if codes.contains(&code) => {}
            Ok(code) => scene.problem(format!("{name}: close code {code:?}, not {codes:?}")),
            Err(error) => scene.problem(format!("{name}: {error:#}")),
        }
    }
    Ok(())
}

async fn fragments(scene: &Scene) -> anyhow::Result<()> {
    let encoding = Encoding::Binary;
    let operation = Operation::ReadLatest {
        stream: "missing".into(),
        count: 1,
    };
    let mut payload = Vec::new();
    encoding.append(&mut payload, &ClientMessage::Request { id: 1, operation });
    let mut bytes = frame(data_opcode(encoding), &payload[..1]);
    for byte in &payload[1..] {
        bytes.extend(frame(FIN | opcode::PING, b"between"));
        bytes.extend(frame(opcode::CONTINUATION, &[*byte]));
        bytes.extend(frame(opcode::CONTINUATION, &[]));
    }
    bytes.extend(frame(FIN | opcode::CONTINUATION, &[]));
    let mut socket = scene.socket(encoding).await?;
    for _ in 0..scene.pick(10, 1_000) {
        socket.send(&bytes).await?;
        let codes = socket.codes(1).await?;
        scene.check(codes == ["ok"], || {
            format!("a request in fragments: {codes:?}")
        });
    }
    Ok(())
}

async fn compression(scene: &Scene) -> anyhow::Result<()> {
    const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let encoding = Encoding::Binary;
    let mut socket = RawSocket::open(scene.address, ATTACKER, encoding, OFFER).await?;
    socket
        .send(&messages(encoding, [crate::raw_socket::hello()]))
        .await?;
    let read = Operation::ReadLatest {
        stream: "missing".into(),
        count: 1,
    };
    socket.send(&request(encoding, 1, read)).await?;
    let codes = socket.codes(1).await?;
    scene.check(codes == ["ok"], || {
        format!("after an offer of compression: {codes:?}")
    });
    // A deflated block of zeros, which would be a thousand times as long.
    let bomb = [
        b"\xec\xc1\x01\x01\x00\x00\x00\x80\x90\xfe\xaf\xee\x08\x0a".as_slice(),
        &[0; 60_000],
    ]
    .concat();
    let _ = socket
        .send(&frame(FIN | RSV1 | data_opcode(encoding), &bomb))
        .await;
    let code = socket.close_code().await?;
    scene.check(code == Some(WEBSOCKET_ERROR), || {
        format!("a compressed frame: close {code:?}")
    });
    Ok(())
}
