//! Adds: exactly once, at most once, or not at all.

use std::collections::HashMap;

use super::{Broken, Known, Objections};
use crate::journal::{Content, History, Id, Outcome, Text, WriterJournal};

/// What is in a stream was put there once, by its writer, who was not told otherwise.
pub(super) fn content(
    place: usize,
    stream: &Content,
    known: &Known<'_>,
    objections: &mut Objections,
) {
    let name = &stream.name;
    for stranger in &stream.strangers {
        let what = format!("{name} holds what nobody sent: {stranger}");
        objections.add(Broken::Untrue, what);
    }
    let mut ids: HashMap<Text, Id> = HashMap::new();
    let mut latest: HashMap<u32, (Id, Text, bool)> = HashMap::new();
    for &(id, text) in &stream.entries {
        if let Some(first) = ids.insert(text, id) {
            let what = format!("{name} holds {text} twice, as {first} and as {id}");
            objections.add(Broken::Doubled, what);
            continue;
        }
        let Some((of, add)) = known.adds.get(&text) else {
            let what = format!("{name} holds {text} as {id}, which nobody added");
            objections.add(Broken::Untrue, what);
            continue;
        };
        if *of != place {
            let what = format!("{name} holds {text} as {id}, which was added to another stream");
            objections.add(Broken::Untrue, what);
        }
        if let Outcome::Refused(code) = &add.outcome {
            let what = format!("{name} holds {text} as {id}, though its writer was told {code}");
            objections.add(Broken::Untrue, what);
            continue;
        }
        // Of two that their writer was told of, its journal says the same.
        let is_known = matches!(add.outcome, Outcome::Done(_));
        let before = latest.insert(text.writer, (id, text, is_known));
        if let Some((before, earlier, was_known)) = before
            && earlier.number > text.number
            && !(is_known && was_known)
        {
            let what = format!("{name} holds {text} as {id}, behind {earlier}, {before}");
            objections.add(Broken::Disordered, what);
        }
    }
}

/// What a writer was told is true, its adds are in its order, and it is not stuck.
pub(super) fn writer(
    journal: &WriterJournal,
    history: &History,
    known: &Known<'_>,
    objections: &mut Objections,
) {
    let stream = &history.streams[journal.stream];
    let name = &stream.name;
    let places: HashMap<Id, Text> = stream.entries.iter().copied().collect();
    let mut before: Option<(Id, Text)> = None;
    for add in &journal.adds {
        let text = Text {
            writer: journal.writer,
            number: add.number,
        };
        match &add.outcome {
            Outcome::Done(id) => {
                if places.get(id) != Some(&text) && !known.may_be_gone(journal.stream, *id) {
                    let began = add.began;
                    let what = format!(
                        "{name} does not hold {text}, acknowledged as {id}, asked at {began} ms"
                    );
                    objections.add(Broken::Lost, what);
                }
                if let Some((last, earlier)) = before.filter(|(last, _)| last >= id) {
                    let what = format!(
                        "{text} of {name} is {id}, and {earlier}, asked before it, is {last}"
                    );
                    objections.add(Broken::Disordered, what);
                }
                before = Some((*id, text));
            }
            // An add is asked for again for as long as that.
            Outcome::Unknown(why) if add.ended - add.began < journal.patience => {
                let (took, patience) = (add.ended - add.began, journal.patience);
                let what = format!(
                    "the add of {text}, asked at {} ms, was given up after {took} ms, not {patience}: {why}",
                    add.began
                );
                objections.add(Broken::Untrue, what);
            }
            Outcome::Unknown(_) => {}
            Outcome::Refused(code) => objections.stopped(&format!("the add of {text}"), code),
            Outcome::Hung => {
                let what = format!("the add of {text}, asked at {} ms, never ended", add.began);
                objections.add(Broken::Stuck, what);
            }
        }
    }
    let last = journal.adds.last();
    if !last.is_some_and(|add| matches!(add.outcome, Outcome::Done(_))) {
        let writer = journal.writer;
        let what = format!("writer {writer} of {name} gets nothing through when all is well again");
        objections.add(Broken::Stuck, what);
    }
}
