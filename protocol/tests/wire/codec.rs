//! Frames: borrowing, failures, numbers and what follows a failure.

use std::borrow::Cow;

use streamgate_protocol::codec::{DecodeError, Encoding};
use streamgate_protocol::limits::MAX_UNKNOWN_KEYS;
use streamgate_protocol::{Bytes, ClientMessage, Operation};

use crate::vectors;

#[test]
fn names_and_values_are_borrowed_from_the_frame() {
    let vector = vectors::messages().swap_remove(0);
    let binary = vectors::from_hex(&vector.binary);
    for (encoding, frame) in [
        (Encoding::Binary, binary.as_slice()),
        (Encoding::Json, vector.json.as_bytes()),
    ] {
        let message = vectors::decode::<ClientMessage<'_>>(encoding, frame)
            .unwrap()
            .remove(0);
        let ClientMessage::Request {
            operation: Operation::Add { stream, fields, .. },
            ..
        } = message
        else {
            panic!("the first vector is an add");
        };
        for Bytes(bytes) in [&stream, &fields[0].0, &fields[0].1] {
            let Cow::Borrowed(bytes) = bytes else {
                panic!("{encoding:?} copies {bytes:?}");
            };
            assert!(
                frame.as_ptr_range().contains(&bytes.as_ptr()),
                "{encoding:?}: {bytes:?}"
            );
        }
    }
}

#[test]
fn a_request_without_lists_is_decoded_without_an_allocation() {
    for line in [
        r#"{"request":{"id":1,"operation":{"read_latest":{"stream":"orders","count":10}}}}"#,
        r#"{"request":{"id":1,"operation":{"read":{"stream":"s","last_id":"$","count":1,"block_ms":5}}}}"#,
    ] {
        let message = vectors::client(line).unwrap().remove(0);
        let mut binary = Vec::new();
        Encoding::Binary.append(&mut binary, &message);
        for (encoding, frame) in [
            (Encoding::Binary, binary.as_slice()),
            (Encoding::Json, line.as_bytes()),
        ] {
            let mut decoded = None;
            let cost = allocation_counter::measure(|| {
                decoded = encoding.messages::<ClientMessage<'_>>(frame).next();
            });
            assert_eq!(decoded, Some(Ok(message.clone())));
            assert_eq!(cost.count_total, 0, "{encoding:?}: {line}");
        }
    }
}

#[test]
fn numbers_keep_all_their_64_bits() {
    for number in [0, 1, (1 << 53) - 1, (1 << 53) + 1, u64::MAX - 1, u64::MAX] {
        let message = ClientMessage::Request {
            id: 1,
            operation: Operation::ReadGroup {
                stream: "s".into(),
                group: "g".into(),
                consumer: "c".into(),
                count: number,
                block_ms: Some(number),
            },
        };
        for encoding in Encoding::ALL {
            let mut frame = Vec::new();
            encoding.append(&mut frame, &message);
            assert_eq!(
                vectors::decode(*encoding, &frame),
                Ok(vec![message.clone()])
            );
        }
    }
}

#[test]
fn what_stands_behind_a_request_that_cannot_be_read_is_read() {
    let frame = concat!(
        "{\"request\":{\"id\":1,\"operation\":{\"trim\":{}}}}\n",
        "{\"ping\":{\"nonce\":2}}\n",
        "{\"news\":{}}\n",
        "{\"ping\":{\"nonce\":3}}",
    );
    let messages: Vec<Result<ClientMessage<'_>, _>> =
        Encoding::Json.messages(frame.as_bytes()).collect();
    assert!(matches!(
        messages[0],
        Err(DecodeError::Content { id: 1, .. })
    ));
    assert_eq!(messages[1], Ok(ClientMessage::Ping { nonce: 2 }));
    assert_eq!(
        messages[2],
        Err(DecodeError::UnknownKind("news".to_owned()))
    );
    assert_eq!(messages[3], Ok(ClientMessage::Ping { nonce: 3 }));
    assert_eq!(messages.len(), 4);
}

#[test]
fn nothing_is_read_behind_what_is_malformed() {
    let json = b"{\"ping\":{\"nonce\":1}}\nrubbish\n{\"ping\":{\"nonce\":2}}";
    let binary = [5, 1, 1, 9, 9, 5, 1, 2];
    for (encoding, frame) in [
        (Encoding::Json, json.as_slice()),
        (Encoding::Binary, &binary),
    ] {
        let mut messages = encoding.messages(frame);
        assert_eq!(messages.next(), Some(Ok(ClientMessage::Ping { nonce: 1 })));
        assert!(matches!(
            messages.next(),
            Some(Err(DecodeError::Malformed(_)))
        ));
        assert_eq!(messages.next(), None, "{encoding:?}");
    }
}

#[test]
fn an_encoding_is_found_by_its_subprotocol() {
    for encoding in Encoding::ALL {
        assert_eq!(
            Encoding::from_subprotocol(encoding.subprotocol()),
            Some(*encoding)
        );
    }
    for name in [
        "",
        "streamgate",
        "streamgate.v1",
        "streamgate.v2.json",
        "STREAMGATE.V1.BIN",
    ] {
        assert_eq!(Encoding::from_subprotocol(name), None, "{name}");
    }
}

#[test]
fn unknown_keys_of_a_record_are_ignored_up_to_a_bound() {
    for (count, is_taken) in [(MAX_UNKNOWN_KEYS, true), (MAX_UNKNOWN_KEYS + 1, false)] {
        let unknown: String = (0..count).map(|n| format!(",\"k{n}\":0")).collect();
        let operation = format!(r#"{{"read_latest":{{"stream":"s","count":1{unknown}}}}}"#);
        let frame = format!(r#"{{"request":{{"id":5,"operation":{operation}}}}}"#);
        let message = Encoding::Json
            .messages::<ClientMessage<'_>>(frame.as_bytes())
            .next()
            .unwrap();
        match message {
            Ok(ClientMessage::Request { id: 5, .. }) => assert!(is_taken, "{count} keys"),
            Err(DecodeError::Content { id: 5, reason }) => {
                assert!(!is_taken, "{count} keys: {reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}
