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
        MAX_UNKNOWN_KEYS,
        MAX_ENTRY_BYTES,
        FIELD_BYTES,
        DEFAULT_HEARTBEAT_MS,
        HEARTBEATS_UNTIL_DEAD,
        MAX_CLOSE_REASON_BYTES,
        MAX_FIELDS,
        MAX_IDS,
        MAX_PRODUCER_BYTES,
        MAX_PRODUCER_NUMBER,
        ADDS_REMEMBERED,
        REMEMBERED_MS,
        MAX_PENDING_PAGE,
        FIRST_RETRY_PAUSE_MS,
        MAX_RETRY_PAUSE_MS,
        MAX_FAILURES,
        LATE_RECOVERY_MARGIN_MS,
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
        if info == "json tolerated" {
            let tolerated = vectors::tolerated();
            let is_this = |vector: &vectors::Tolerated| vector.frame == body.trim_end();
            assert!(tolerated.iter().any(is_this), "no vector for {body}");
        } else if let Some(direction) = info.strip_prefix("json ") {
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
                matches!(info, "ts" | "hex" | "abnf" | "pseudo"),
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
fn every_example_of_bytes_is_a_vector() {
    let examples: Vec<String> = blocks()
        .into_iter()
        .filter(|(info, _)| *info == "hex")
        .map(|(_, body)| hex_digits(body))
        .collect();
    let messages = vectors::messages();
    assert_eq!(examples[0], messages[0].binary, "the first is an add");
    assert!(
        SPEC.contains(&messages[0].json),
        "the same request is shown in JSON"
    );
    let tolerated = vectors::tolerated();
    let binary = messages.iter().map(|vector| &vector.binary);
    let known: Vec<_> = binary
        .chain(tolerated.iter().map(|vector| &vector.frame))
        .collect();
    for example in &examples {
        assert!(known.contains(&example), "no vector for {example}");
    }
}

/// Requirements can be cited and found: each has a number of its own, counted in its section.
#[test]
fn every_requirement_is_one_short_sentence_with_the_next_number_of_its_section() {
    let mut counts = BTreeMap::new();
    for Requirement {
        section,
        number,
        text,
    } in requirements()
    {
        let count = counts.entry(section).or_insert(0);
        *count += 1;
        assert_eq!(number, format!("{section}.{count}"));
        let is_binding = ["MUST", "SHOULD", "MAY"]
            .iter()
            .any(|word| text.contains(word));
        assert!(is_binding, "R{number} requires nothing");
        let words = text.split_whitespace().count() - more_code_words(&text);
        assert!(words <= MAX_SENTENCE_WORDS, "R{number} has {words} words");
        assert!(!text.contains(". "), "R{number} has several sentences");
    }
    let count: u32 = counts.values().sum();
    assert!(count > 200, "{count}");
}

#[test]
fn every_operation_and_subscription_has_a_row_that_says_whether_it_is_sent_again() {
    let names = |choice: &str| -> Vec<String> {
        let row = format!("\n| `{choice}` |");
        let (_, rest) = SPEC.split_once(&row).expect("the table of numbers");
        let line = rest.lines().next().unwrap_or_default();
        let cells = line
            .split('|')
            .map(|cell| cell.trim().trim_matches('`').to_owned());
        cells.filter(|cell| !cell.is_empty()).collect()
    };
    let (_, section) = SPEC.split_once("### 11.2 ").expect("section 11.2");
    let rows: Vec<_> = section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .filter_map(|line| line.trim_start_matches('|').split(" | ").next())
        .flat_map(|cell| {
            cell.split(',')
                .map(|name| name.trim().trim_matches('`').to_owned())
        })
        .collect();
    let mut expected = names("Operation");
    expected.extend(names("Subscription"));
    for name in &expected {
        let count = rows.iter().filter(|row| *row == name).count();
        assert_eq!(count, 1, "{name}");
    }
    assert_eq!(rows.len(), expected.len());
}

/// Longer sentences have to be read twice.
const MAX_SENTENCE_WORDS: usize = 25;

/// A requirement.
struct Requirement {
    /// The number of the section in which it stands.
    section: &'static str,
    /// Such as `2.1`.
    number: &'static str,
    text: String,
}

fn requirements() -> Vec<Requirement> {
    let sections = SPEC.split("\n## ").skip(1);
    let sections = sections.filter_map(|section| section.split_once(". "));
    let items = sections
        .flat_map(|(section, body)| body.split("\n- **R").skip(1).map(move |i| (section, i)));
    items
        .map(|(section, item)| {
            let ends = ["\n\n", "\n- ", "\n#"];
            let end = ends.iter().filter_map(|end| item.find(end)).min();
            let item = &item[..end.unwrap_or(item.len())];
            let (number, text) = item.split_once("** ").expect("a number and a sentence");
            Requirement {
                section,
                number,
                text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            }
        })
        .collect()
}

/// Words of code beside the first of each: code counts as one word.
fn more_code_words(text: &str) -> usize {
    let code = text.split('`').skip(1).step_by(2);
    code.map(|code| code.split_whitespace().count().saturating_sub(1))
        .sum()
}

/// The bytes of an example, without its remarks.
fn hex_digits(body: &str) -> String {
    let bytes = body.lines().filter_map(|line| line.split("  ").next());
    bytes.flat_map(str::split_whitespace).collect()
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
