//! The types of `SPEC.md` are those of the codec: names, numbers, and fields in order.

use std::collections::BTreeMap;

const SPEC: &str = include_str!("../../SPEC.md");
const CODEC: &str = include_str!("../../src/codec/types.rs");

/// Fields in order.
type Fields = Vec<String>;

#[test]
fn the_choices_of_the_text_are_those_of_the_codec() {
    let (text, records) = (spec_types(), codec_records());
    let choices = codec_choices();
    assert_eq!(choices.len(), 7);
    for (name, alternatives) in &choices {
        let expected: Vec<(String, Fields)> = alternatives
            .iter()
            .map(|(name, content)| (name.clone(), fields_of(content, &records)))
            .collect();
        let shown: Vec<(String, Fields)> = text[name]
            .split("\n  | ")
            .skip(1)
            .flat_map(keys)
            .map(|(name, value)| (name, keys_of(&value, &text)))
            .collect();
        assert_eq!(shown, expected, "{name}");
    }
}

#[test]
fn the_records_of_the_text_are_those_of_the_codec() {
    let (text, records) = (spec_types(), codec_records());
    for name in [
        "Hello",
        "Welcome",
        "Fault",
        "Credit",
        "PendingEntry",
        "Consumer",
    ] {
        let in_code = if name == "Consumer" {
            "ConsumerInfo"
        } else {
            name
        };
        assert_eq!(keys_of(&text[name], &text), records[in_code], "{name}");
    }
}

#[test]
fn the_table_of_numbers_is_that_of_the_codec() {
    for (name, alternatives) in codec_choices() {
        let (_, rest) = SPEC
            .split_once(&format!("\n| `{name}` |"))
            .expect("its row");
        let line = rest.lines().next().unwrap_or_default();
        let cells = line.split('|').map(|cell| cell.trim().trim_matches('`'));
        let cells: Vec<_> = cells.filter(|cell| !cell.is_empty()).collect();
        let names: Vec<_> = alternatives.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(cells, names, "{name}");
    }
}

/// The types of the TypeScript blocks, by name, without remarks.
fn spec_types() -> BTreeMap<String, String> {
    let blocks = SPEC.split("\n```ts\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split("\n```").next());
    let lines = blocks
        .flat_map(str::lines)
        .map(|line| line.split("//").next().unwrap_or(line));
    let text = lines.map(str::trim_end).collect::<Vec<_>>().join("\n");
    let types = text.split("type ").skip(1);
    types
        .filter_map(|definition| definition.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.to_owned()))
        .collect()
}

/// The fields of a record, or of a type that is named.
fn keys_of(value: &str, types: &BTreeMap<String, String>) -> Fields {
    match types.get(value.trim()) {
        Some(named) => keys_of(named, types),
        None => keys(value).into_iter().map(|(name, _)| name).collect(),
    }
}

/// The keys of an object type and their values.
fn keys(object: &str) -> Vec<(String, String)> {
    let (Some(start), Some(end)) = (object.find('{'), object.rfind('}')) else {
        return Vec::new();
    };
    let (mut depth, mut parts) = (0_i32, vec![String::new()]);
    for character in object[start + 1..end].chars() {
        match character {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ';' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().expect("one at least").push(character);
    }
    let parts = parts.iter().filter_map(|part| part.split_once(':'));
    parts
        .map(|(name, value)| {
            (
                name.trim().trim_end_matches('?').to_owned(),
                value.to_owned(),
            )
        })
        .collect()
}

/// The choices of the codec: each alternative by its number, and its record.
fn codec_choices() -> Vec<(String, Vec<(String, String)>)> {
    let alternative = |(number, line): (usize, &str)| {
        let (words, content) = line.split_at(line.find(['{', '(']).expect("a record"));
        let [shown, name, variant] = words.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("no alternative: {line}");
        };
        assert_eq!(shown, number.to_string(), "the number of {name}");
        // A type that is a record itself.
        let content = match (content.starts_with('('), variant) {
            (false, _) => content,
            (true, "Summary") => "PendingSummary",
            (true, variant) => variant,
        };
        (name.to_owned(), content.trim().to_owned())
    };
    let mut choices: Vec<_> = macros("choice")
        .into_iter()
        .map(|(name, body)| {
            let lines = body
                .split_inclusive(['}', ')'])
                .map(|line| line.trim_matches([',', ' ']));
            let lines = lines.filter(|line| !line.is_empty()).enumerate();
            (name, lines.map(alternative).collect())
        })
        .collect();
    choices.sort();
    choices
}

/// The records of the codec and their fields.
fn codec_records() -> BTreeMap<String, Fields> {
    let records = macros("record").into_iter();
    records.map(|(name, body)| (name, names(&body))).collect()
}

/// The uses of a macro: the name of the type, and what stands in its braces.
fn macros(name: &str) -> Vec<(String, String)> {
    let opening = format!("\n{name}!(");
    let uses = CODEC.split(opening.as_str()).skip(1);
    uses.filter_map(|text| text.split_once("});")?.0.split_once('{'))
        .map(|(name, body)| {
            let name = name.split('<').next().unwrap_or(name).trim();
            let body = body.split_whitespace().collect::<Vec<_>>().join(" ");
            (name.to_owned(), body)
        })
        .collect()
}

fn fields_of(content: &str, records: &BTreeMap<String, Fields>) -> Fields {
    records
        .get(content)
        .cloned()
        .unwrap_or_else(|| names(content))
}

fn names(list: &str) -> Fields {
    let names = list.split([',', '{', '}']).map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}
