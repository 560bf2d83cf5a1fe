//! Random operations, biased to what is likely to go wrong.

use fastrand::Rng;
use streamgate_protocol::limits::{FIELD_BYTES, MAX_ENTRY_BYTES};
use streamgate_protocol::{Bytes, Operation};

use crate::ids::{Id, Spelling};

/// Calls that wait at the same time, at most.
pub(crate) const MAX_WAITS: usize = 4;

const STREAMS: &[&str] = &["s", "", "über:🦀\n{tag}\0"];
const GROUPS: &[&str] = &["g", "", "群"];
const CONSUMERS: &[&str] = &["c", "", "d\r\n"];
const TEXTS: &[&str] = &[
    "",
    "a",
    "a",
    "b",
    " ",
    "\0",
    "\r\n",
    "\"'\\",
    "é",
    "e\u{301}",
    "🦀👩‍👩‍👧",
    "\u{feff}",
    "\u{202e}rtl",
    "$",
    "*",
    ">",
    "MAXLEN",
    "10",
    "\u{fffd}",
    "\u{10ffff}",
];
const COUNTS: &[u64] = &[0, 1, 1, 2, 3, 10, 1_000_000, i64::MAX as u64];
const MAXLENS: &[u64] = &[0, 1, 2, 3, 5, 10, 100, i64::MAX as u64];

/// Ids that are no entry's: before all, after all, malformed, or malformed but taken by Redis.
pub(crate) const IDS: &[&str] = &[
    "0",
    "0-0",
    "0-1",
    "1",
    "5-3",
    "99999999999999",
    "18446744073709551615",
    "18446744073709551615-18446744073709551615",
    "18446744073709551616",
    "0-18446744073709551616",
    "",
    "-",
    ">",
    "*",
    "abc",
    "5-",
    "-5",
    "5-*",
    "5-3-1",
    "1e3",
    "0x5",
    "5 ",
    " 5",
    "05",
    "+5",
    "-0",
    "5--0",
    "5--05",
    "5--7",
    "5--18446744073709551615",
    "5\0-",
    "\0",
    "$\0",
    "$$",
    "①",
];

/// What random ids are made of.
const ID_CHARACTERS: &[char] = &[
    '0', '1', '2', '9', '-', '-', '+', '$', ' ', '\t', '\0', '>', '*', 'x', 'é',
];

/// A part of a sequence.
#[derive(Debug)]
pub(crate) enum Step {
    One(Planned),
    /// Calls that wait, without a limit, one after the other; then an add to the same stream;
    /// then the calls that are not answered are given up.
    Waits {
        waits: Vec<Planned>,
        add: Planned,
    },
}

/// An operation before its ids are known. Each side fills in its own.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) operation: Operation<'static>,
    pub(crate) ids: Vec<Id>,
}

pub(crate) struct Generator {
    random: Rng,
}

impl Generator {
    pub(crate) fn new(random: Rng) -> Self {
        Self { random }
    }

    pub(crate) fn step(&mut self) -> Step {
        let stream = self.pick_name(STREAMS);
        if self.random.u8(..) < 25 {
            let waits = (0..self.random.usize(1..=MAX_WAITS))
                .map(|_| self.wait(stream))
                .collect();
            return Step::Waits {
                waits,
                add: self.add(stream),
            };
        }
        let block_ms = (self.random.u8(..) < 10).then(|| self.random.u64(1..4));
        Step::One(match self.random.u8(0..100) {
            0..30 => self.add(stream),
            30..40 => self.read_latest(stream),
            40..58 => self.read(stream, block_ms),
            58..68 => self.create_group(stream),
            68..82 => self.read_group(stream, block_ms),
            82..90 => self.read_pending(stream),
            _ => self.ack(stream),
        })
    }

    fn wait(&mut self, stream: &str) -> Planned {
        if self.random.bool() {
            self.read(stream, Some(0))
        } else {
            self.read_group(stream, Some(0))
        }
    }

    fn add(&mut self, stream: &str) -> Planned {
        let fields = match self.random.u8(..) {
            0..5 => 0,
            5..10 => self.random.usize(100..1_000),
            _ => self.random.usize(1..5),
        };
        let mut fields: Vec<(Bytes<'static>, Bytes<'static>)> = (0..fields)
            .map(|_| (self.text().into(), self.text().into()))
            .collect();
        // Redis takes larger entries than streamgate does.
        let mut room = MAX_ENTRY_BYTES;
        fields.retain(|(name, value)| {
            let left = room.checked_sub(FIELD_BYTES + name.len() + value.len());
            room = left.unwrap_or(room);
            left.is_some()
        });
        let maxlen = (self.random.u8(0..3) == 0).then(|| self.pick_number(MAXLENS));
        planned(Operation::Add {
            stream: stream.to_owned().into(),
            fields,
            maxlen,
        })
    }

    fn read_latest(&mut self, stream: &str) -> Planned {
        let count = self.pick_number(COUNTS);
        planned(Operation::ReadLatest {
            stream: stream.to_owned().into(),
            count,
        })
    }

    fn read(&mut self, stream: &str, block_ms: Option<u64>) -> Planned {
        let (stream, last_id) = (stream.to_owned().into(), String::new().into());
        let count = self.pick_number(COUNTS);
        let operation = Operation::Read {
            stream,
            last_id,
            count,
            block_ms,
        };
        Planned {
            operation,
            ids: vec![self.id()],
        }
    }

    fn create_group(&mut self, stream: &str) -> Planned {
        let (stream, group) = (stream.to_owned().into(), self.pick_name(GROUPS).into());
        let operation = Operation::CreateGroup {
            stream,
            group,
            id: String::new().into(),
        };
        Planned {
            operation,
            ids: vec![self.id()],
        }
    }

    fn read_group(&mut self, stream: &str, block_ms: Option<u64>) -> Planned {
        planned(Operation::ReadGroup {
            stream: stream.to_owned().into(),
            group: self.pick_name(GROUPS).into(),
            consumer: self.pick_name(CONSUMERS).into(),
            count: self.pick_number(COUNTS),
            block_ms,
        })
    }

    fn read_pending(&mut self, stream: &str) -> Planned {
        let operation = Operation::ReadPending {
            stream: stream.to_owned().into(),
            group: self.pick_name(GROUPS).into(),
            consumer: self.pick_name(CONSUMERS).into(),
            after: String::new().into(),
            count: self.pick_number(COUNTS),
            except: vec![],
        };
        Planned {
            operation,
            ids: vec![self.id_of_pending()],
        }
    }

    /// After the greatest id, Redis starts again with the first.
    fn id_of_pending(&mut self) -> Id {
        loop {
            match self.id() {
                Id::Text(text) if text.ends_with("-18446744073709551615") => {}
                id => return id,
            }
        }
    }

    fn ack(&mut self, stream: &str) -> Planned {
        let (stream, group) = (stream.to_owned().into(), self.pick_name(GROUPS).into());
        let operation = Operation::Ack {
            stream,
            group,
            ids: Vec::new(),
        };
        let ids = (0..self.random.usize(0..4)).map(|_| self.id_to_ack());
        Planned {
            ids: ids.collect(),
            operation,
        }
    }

    /// An id below an entry's may be another's on one side only.
    fn id_to_ack(&mut self) -> Id {
        loop {
            match self.id() {
                Id::Below { .. } => {}
                id => return id,
            }
        }
    }

    fn id(&mut self) -> Id {
        let before_last = self.random.usize(0..6);
        match self.random.u8(0..100) {
            0..40 => Id::Added {
                before_last,
                spelling: self.spelling(),
            },
            40..55 => Id::Below { before_last },
            55..70 => Id::Text("$".to_owned()),
            70..80 => Id::Text("0".to_owned()),
            80..90 => Id::Text(self.pick(IDS).to_owned()),
            _ => Id::Text(random_id_text(&mut self.random)),
        }
    }

    fn spelling(&mut self) -> Spelling {
        match self.random.u8(0..10) {
            0 => Spelling::ZeroPadded,
            _ => Spelling::Plain,
        }
    }

    fn text(&mut self) -> String {
        match self.random.u16(0..1_000) {
            0 => "x".repeat(1024 * 1024),
            1..50 => self
                .random
                .char(..)
                .to_string()
                .repeat(self.random.usize(1..300)),
            _ => self.pick(TEXTS).to_owned(),
        }
    }

    /// Mostly the first, so that operations meet.
    fn pick_name(&mut self, from: &[&'static str]) -> &'static str {
        if self.random.u8(0..3) > 0 {
            from[0]
        } else {
            self.pick(from)
        }
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.random.usize(..from.len())]
    }

    fn pick_number(&mut self, from: &[u64]) -> u64 {
        from[self.random.usize(..from.len())]
    }
}

/// A short text of characters that ids have, or that Redis takes in them.
pub(crate) fn random_id_text(random: &mut Rng) -> String {
    let length = random.usize(0..7);
    let mut character = |_| ID_CHARACTERS[random.usize(..ID_CHARACTERS.len())];
    (0..length).map(&mut character).collect()
}

fn planned(operation: Operation<'static>) -> Planned {
    Planned {
        operation,
        ids: Vec::new(),
    }
}
