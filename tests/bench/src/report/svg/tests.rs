//! The picture is well-formed XML, whatever the figures are.

use super::super::{Goal, Unit};
use super::*;
use crate::harness::Machine;

fn report() -> Report {
    let machine = Machine {
        processor: "Fast & <Small>".to_owned(),
        processors: 2,
        kernel: "6.1".to_owned(),
        streamgate: "0.1.0",
        redis: "7.0.15".to_owned(),
        nats: "2.9.10".to_owned(),
    };
    let mut report = Report::new(machine);
    report.rows = vec![
        Row::new("adds", "adds a second", Unit::PerSecond, vec![5e5])
            .compared_with("redis-rs", vec![6e5], Goal::AtLeast(0.9))
            .compared_with("NATS", vec![3e5], Goal::AtLeast(1.5)),
        Row::new("tails", "lost", Unit::Count, vec![0.0]).with_goal(Goal::AtMost(0.0)),
        Row::new("none", "nothing", Unit::Count, vec![]).compared_with(
            "none",
            vec![],
            Goal::AtMost(1.0),
        ),
        Row::new("no goal", "not drawn", Unit::Count, vec![1.0]),
    ];
    report
}

/// The elements' names in the order they open, if each is closed in its place.
fn elements(xml: &str) -> Result<Vec<String>, String> {
    let (mut open, mut seen): (Vec<&str>, Vec<String>) = (Vec::new(), Vec::new());
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        let (before, tag) = rest.split_at(start);
        let words = before.replace("&amp;", "").replace("&lt;", "");
        if words.replace("&gt;", "").contains(['&', '>']) {
            return Err(format!("not escaped: {before}"));
        }
        let end = tag.find('>').ok_or("a tag does not end")?;
        let inner = &tag[1..end];
        rest = &tag[end + 1..];
        if let Some(name) = inner.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("</{name}> is out of place"));
            }
            continue;
        }
        let name = inner.split([' ', '/']).next().unwrap_or_default();
        let quotes = inner.matches('"').count();
        if quotes % 2 != 0 || inner.matches("=\"").count() * 2 != quotes {
            return Err(format!("wrong attributes: <{inner}>"));
        }
        seen.push(name.to_owned());
        if !inner.ends_with('/') {
            open.push(name);
        }
    }
    match open.pop() {
        Some(name) => Err(format!("<{name}> is not closed")),
        None => Ok(seen),
    }
}

#[test]
fn the_picture_is_well_formed() {
    let picture = draw(&report());
    let seen = elements(&picture).unwrap();
    assert_eq!(seen[..3], ["svg", "title", "style"]);
    // The ground, and a bar for each figure.
    assert_eq!(seen.iter().filter(|name| *name == "rect").count(), 1 + 6);
    assert!(picture.contains("Fast &amp; &lt;Small&gt;"), "{picture}");
    for nothing in ["NaN\"", "inf\"", "\"-"] {
        assert!(!picture.contains(nothing), "{nothing} in {picture}");
    }
}

#[test]
fn the_check_sees_what_is_not_well_formed() {
    for wrong in [
        "<a>",
        "<a></b>",
        "<a>&</a>",
        "<a b=\"></a>",
        "<a b=c\"\"/>",
        "<a",
    ] {
        assert!(elements(wrong).is_err(), "{wrong}");
    }
    assert_eq!(elements("<a b=\"c\"><d/></a>").unwrap(), ["a", "d"]);
}
