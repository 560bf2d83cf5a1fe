//! Commands, encoded as RESP.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::wire::commands::CommandWriter;

/// Bytes that a command usually takes, at most: memory is reserved for them.
pub(crate) const USUAL_COMMAND_BYTES: usize = 256;

/// Commands that are sent together, as one pipeline.
#[derive(Debug, Default)]
pub(crate) struct PackedCommands {
    pub(crate) bytes: Vec<u8>,
    pub(crate) commands: usize,
    /// Dropped once Redis has answered them, or will not.
    pub(crate) permit: Option<Arc<OwnedSemaphorePermit>>,
}

/// A place in [`PackedCommands`], after the last command so far.
pub(crate) struct PackedMark {
    start: usize,
    commands: usize,
}

/// Consecutive commands of [`PackedCommands`].
#[derive(Debug)]
pub(crate) struct PackedPart {
    bytes: Range<usize>,
    commands: usize,
}

impl PackedCommands {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let bytes = Vec::with_capacity(bytes);
        Self {
            bytes,
            ..Self::default()
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.commands == 0
    }

    /// Appends arguments that were encoded apart. The command that they belong to counts them.
    pub(crate) fn append(&mut self, arguments: &Self) {
        self.bytes.extend_from_slice(&arguments.bytes);
    }

    /// Returns the place where the next command begins.
    pub(crate) fn mark(&self) -> PackedMark {
        PackedMark {
            start: self.bytes.len(),
            commands: self.commands,
        }
    }

    /// Returns what was appended since a mark.
    pub(crate) fn since(&self, mark: &PackedMark) -> PackedPart {
        PackedPart {
            bytes: mark.start..self.bytes.len(),
            commands: self.commands - mark.commands,
        }
    }

    /// Removes parts, which are in rising order.
    pub(crate) fn remove(&mut self, parts: &[PackedPart]) {
        if parts.is_empty() {
            return;
        }
        let mut kept = Vec::with_capacity(self.bytes.len());
        let mut end = 0;
        for PackedPart { bytes, commands } in parts {
            kept.extend_from_slice(&self.bytes[end..bytes.start]);
            end = bytes.end;
            self.commands -= commands;
        }
        kept.extend_from_slice(&self.bytes[end..]);
        self.bytes = kept;
    }

    fn length(&mut self, kind: u8, length: usize) {
        self.bytes.push(kind);
        let mut digits = itoa::Buffer::new();
        self.bytes
            .extend_from_slice(digits.format(length).as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}

impl CommandWriter for PackedCommands {
    fn command(&mut self, name: &str, arguments: usize) {
        self.commands += 1;
        self.length(b'*', 1 + arguments);
        self.argument(name.as_bytes());
    }

    fn argument(&mut self, argument: &[u8]) {
        self.length(b'$', argument.len());
        self.bytes.extend_from_slice(argument);
        self.bytes.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use streamgate_backend::reclaim::step::ReclaimStep;
    use streamgate_protocol::EntryId;
    use streamgate_protocol::message::Subscription;

    use super::*;
    use crate::wire::{commands, scripts};

    #[test]
    fn commands_are_encoded_as_redis_rs_encodes_them() {
        let fields = [("f".into(), "".into()), ("naïve".into(), "v\r\n".into())];
        let ids = ["1-1".into(), "2-2".into()];
        let write = |to: &mut dyn FnMut(&mut BothEncoders)| {
            let mut both = BothEncoders::default();
            to(&mut both);
            assert_eq!(
                both.packed.bytes,
                both.pipeline.get_packed_pipeline(),
                "{:?}",
                String::from_utf8_lossy(&both.packed.bytes)
            );
            assert_eq!(both.packed.commands, both.pipeline.len());
        };
        write(&mut |to| commands::hello(to, None));
        write(&mut |to| {
            commands::hello(to, Some(["ann", "secret"]));
            commands::select(to, 3);
            commands::set_client_name(to, "orders");
            commands::set_library(to, ["library", "1.2.3"]);
            commands::server_info(to);
            commands::turn_tracking_on(to);
            commands::arm_next(to);
            commands::kill_client(to, 7);
        });
        write(&mut |to| commands::auth(to, None, "secret"));
        write(&mut |to| commands::auth(to, Some("ann"), "secret"));
        write(&mut |to| commands::add(to, b"s", &fields, None));
        write(&mut |to| commands::add(to, b"s", &fields, Some(u64::MAX)));
        write(&mut |to| commands::read_latest(to, b"s", 10));
        write(&mut |to| commands::read(to, b"s", "$", 0));
        write(&mut |to| commands::range_from(to, b"s", EntryId::MAX, 5));
        write(&mut |to| commands::range_of_one(to, b"s", "5-1"));
        write(&mut |to| commands::range_back_from(to, b"s", EntryId::MAX, 5));
        write(&mut |to| commands::length(to, b"s"));
        write(&mut |to| commands::info(to, b"s"));
        write(&mut |to| commands::create_group(to, b"s", b"g", "0"));
        write(&mut |to| commands::read_group(to, b"s", b"g", b"c", 3));
        write(&mut |to| {
            commands::ack(to, b"s", b"g", &ids);
            commands::transaction(to, |to| commands::length(to, b"s"));
        });
        write(&mut |to| commands::pending_summary(to, b"s", b"g"));
        write(&mut |to| commands::pending(to, b"s", b"g", ["-", "+"], 9, None, None));
        write(&mut |to| commands::pending(to, b"s", b"g", ["(1", "2"], 9, Some(b"c"), Some(5)));
        write(&mut |to| commands::claim(to, b"s", b"g", b"c", 5, "0-0", u64::MAX));
        write(&mut |to| scripts::remove_consumer(to, b"s", b"g", b"c", b"d"));
        for dead_letter in [None, Some("dead")] {
            let mut options = streamgate_protocol::ConsumeOptions::default().claim_after_ms(5);
            if let Some(dead_letter) = dead_letter {
                options = options.dead_letter(dead_letter, 3);
            }
            let consume = Subscription::consume("s", "g", "c", options);
            let mut step = ReclaimStep::first(&consume).unwrap();
            write(&mut |to| scripts::reclaim(to, &step));
            step.since_ms = Some(7);
            write(&mut |to| scripts::reclaim(to, &step));
        }
    }

    #[test]
    fn parts_can_be_removed_again() {
        let mut packed = PackedCommands::default();
        let mut parts = Vec::new();
        for (n, command) in ["A", "B", "C", "D"].into_iter().enumerate() {
            let mark = packed.mark();
            packed.command(command, 1);
            packed.argument(b"x");
            if n % 2 == 1 {
                packed.command("AND", 0);
                parts.push(packed.since(&mark));
            }
        }
        packed.remove(&parts);
        let kept = b"*2\r\n$1\r\nA\r\n$1\r\nx\r\n*2\r\n$1\r\nC\r\n$1\r\nx\r\n";
        assert_eq!((&*packed.bytes, packed.commands), (&kept[..], 2));
        packed.remove(&[]);
        assert_eq!(packed.commands, 2);
    }

    /// Encodes in both ways.
    #[derive(Default)]
    struct BothEncoders {
        packed: PackedCommands,
        pipeline: redis::Pipeline,
    }

    impl CommandWriter for BothEncoders {
        fn command(&mut self, name: &str, arguments: usize) {
            self.packed.command(name, arguments);
            self.pipeline.cmd(name);
        }

        fn argument(&mut self, argument: &[u8]) {
            self.packed.argument(argument);
            self.pipeline.arg(argument);
        }
    }
}
