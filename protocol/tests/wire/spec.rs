//! `SPEC.md` says what the code does: its tables, its examples and its worked example of bytes.

use std::collections::BTreeMap;

use streamgate_protocol::close::{AfterClose, CLOSE_CODES};
use streamgate_protocol::codec::Encoding;
use streamgate_protocol::error::CODES;
use streamgate_protocol::limits;

use crate::vectors;

const SPEC: &str = include_str!("../../SPEC.md");

#[test]
fn the_table_of_error_codes_is_the_one_in_the_code() {
    let code: Vec<_> = CODES
        .iter()
        .map(|row| {
            [
                row.name.to_owned(),
                row.retry.as_str().to_owned(),
                row.meaning.to_owned(),
            ]
        })
        .collect();
    assert_eq!(table("codes"), code);
}

#[test]
fn the_table_of_close_codes_is_the_one_in_the_code() {
    let after = |after| match after {
        AfterClose::Reconnect => "reconnect".to_owned(),
        AfterClose::Stop => "stop".to_owned(),
    };
    let code: Vec<_> = CLOSE_CODES
        .iter()
        .map(|row| {
            [
                row.code.to_string(),
                after(row.after),
                row.meaning.to_owned(),
            ]
        })
        .collect();
    assert_eq!(table("close codes"), code);
}

#[test]
fn the_table_of_limits_is_the_one_in_the_code() {
    macro_rules! values {
        ($($name:ident,)*) => {
            BTreeMap::from([$((stringify!($name).to_owned(), limits::$name.to_string())),*])
        };
    }
    let code = values![
        MAX_NAME_BYTES,
        MAX_ID_BYTES,
        MAX_CLIENT_ID_BYTES,
        MAX_MESSAGE_ID,
        MIN_CLIENT_FRAME_BYTES,
        MIN_REQUESTS_IN_FLIGHT,
        MIN_FRAME_BYTES,
        DEFAULT_REQUESTS_IN_FLIGHT,
        DEFAULT_FRAME_BYTES,
        MAX_REPLY_BYTES,
        MAX_SERVER_FRAME_BYTES,
        DEFAULT_HEARTBEAT_MS,
        HEARTBEATS_UNTIL_DEAD,
        MAX_CLOSE_REASON_BYTES,
        MAX_FIELDS_ONCE,
        MAX_PRODUCER_BYTES,
        MAX_PRODUCER_NUMBER,
        ADDS_REMEMBERED,
        REMEMBERED_MS,
        MAX_PENDING_PAGE,
        FIRST_RETRY_PAUSE_MS,
        MAX_RETRY_PAUSE_MS,
        MAX_FAILURES,
    ];
    let text: BTreeMap<_, _> = table("limits")
        .into_iter()
        .map(|[name, value, _]| (name, value))
        .collect();
    assert_eq!(text, code);
    let declared: Vec<_> = include_str!("../../src/limits.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split(':').next())
        .collect();
    for name in &declared {
        assert!(
            code.contains_key(*name),
            "{name} is not in the table of limits"
        );
    }
    assert_eq!(declared.len(), code.len());
}

#[test]
fn every_example_is_a_message_as_we_write_it() {
    let (mut from_client, mut from_server) = (0, 0);
    for (info, body) in blocks() {
        let mut check = |direction: &str, line: &str| {
            let mut frame = Vec::new();
            match direction {
                "client" => {
                    let messages = vectors::client(line).unwrap();
                    Encoding::Json.append(&mut frame, &messages[0]);
                    from_client += 1;
                }
                "server" => {
                    let messages = vectors::server(line).unwrap();
                    Encoding::Json.append(&mut frame, &messages[0]);
                    from_server += 1;
                }
                other => panic!("an example of {other:?}"),
            }
            assert_eq!(String::from_utf8(frame).unwrap(), line);
        };
        if let Some(direction) = info.strip_prefix("json ") {
            body.lines().for_each(|line| check(direction, line));
        } else if info == "transcript" {
            for line in body.lines() {
                match (line.strip_prefix("→ "), line.strip_prefix("← ")) {
                    (Some(message), None) => check("client", message),
                    (None, Some(message)) => check("server", message),
                    _ => panic!("whose is {line:?}?"),
                }
            }
        } else {
            assert!(
                matches!(info, "ts" | "hex"),
                "a block of {info:?} is not checked"
            );
        }
    }
    assert!(
        from_client >= 10 && from_server >= 10,
        "{from_client} and {from_server} examples"
    );
}

#[test]
fn the_worked_example_of_bytes_is_a_golden_vector() {
    let (_, body) = blocks()
        .into_iter()
        .find(|(info, _)| *info == "hex")
        .expect("the example");
    let bytes: String = body
        .lines()
        .filter_map(|line| line.split("  ").next())
        .flat_map(str::split_whitespace)
        .collect();
    let vector = vectors::messages().swap_remove(0);
    assert_eq!(vector.name, "add");
    assert_eq!(bytes, vector.binary);
    assert!(
        SPEC.contains(&vector.json),
        "the same request is shown in JSON"
    );
}

/// The rows of the table behind a marker, without the code marks.
fn table(marker: &str) -> Vec<[String; 3]> {
    let marker = format!("<!-- {marker} -->\n");
    let (_, behind) = SPEC.split_once(&marker).expect("the marker");
    let rows: Vec<_> = behind
        .lines()
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells: Vec<_> = line
                .trim_matches('|')
                .split(" | ")
                .map(|cell| cell.trim().trim_matches('`').to_owned())
                .collect();
            <[String; 3]>::try_from(cells).expect("three cells")
        })
        .collect();
    assert!(!rows.is_empty(), "no table behind {marker}");
    rows
}

/// Every fenced block: what it says it is, and its body.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let blocks: Vec<_> = SPEC
        .split("\n```")
        .skip(1)
        .step_by(2)
        .map(|block| block.split_once('\n').expect("a body"))
        .collect();
    assert!(
        SPEC.matches("\n```").count().is_multiple_of(2),
        "a block is not closed"
    );
    blocks
}
