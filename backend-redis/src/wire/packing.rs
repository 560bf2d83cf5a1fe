//! Commands, encoded as RESP.

use crate::wire::commands::CommandWriter;

/// Bytes that a command usually takes, at most: memory is reserved for them.
pub(crate) const USUAL_COMMAND_BYTES: usize = 256;

/// Commands that are sent together, as one pipeline.
#[derive(Debug, Default)]
pub(crate) struct PackedCommands {
    pub(crate) bytes: Vec<u8>,
    pub(crate) commands: usize,
}

impl PackedCommands {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let bytes = Vec::with_capacity(bytes);
        Self { bytes, commands: 0 }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.commands == 0
    }

    /// Appends arguments that were encoded apart. The command that they belong to counts them.
    pub(crate) fn append(&mut self, arguments: &Self) {
        self.bytes.extend_from_slice(&arguments.bytes);
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
        });
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

    /// Encodes in both ways.
    #[derive(Default)]
    struct BothEncoders {
        packed: PackedCommands,
        pipeline: redis::Pipeline,
    }

    impl CommandWriter for BothEncoders {
        fn command(&mut self, name: &str, arguments: usize) {
            self.packed.command(name, arguments);
            CommandWriter::command(&mut self.pipeline, name, arguments);
        }

        fn argument(&mut self, argument: &[u8]) {
            self.packed.argument(argument);
            self.pipeline.argument(argument);
        }
    }
}
