//! CommandWriter as Redis reads them.

use crate::wire::commands::CommandWriter;

/// CommandWriter that are sent together.
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

    /// Arguments that were written apart.
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
    use super::*;
    use crate::wire::{commands, scripts};
    use streamgate_backend::reclaim::step::ReclaimStep;
    use streamgate_protocol::message::Subscription;

    #[test]
    fn commands_are_written_as_redis_rs_writes_them() {
        let fields = [("f".into(), "".into()), ("naïve".into(), "v\r\n".into())];
        let ids = ["1-1".into(), "2-2".into()];
        let write = |to: &mut dyn FnMut(&mut Both)| {
            let mut both = Both::default();
            to(&mut both);
            assert_eq!(
                both.packed.bytes,
                both.pipeline.get_packed_pipeline(),
                "{:?}",
                String::from_utf8_lossy(&both.packed.bytes)
            );
            assert_eq!(both.packed.commands, both.pipeline.len());
        };
        write(&mut |to| commands::add(to, "s", &fields, None));
        write(&mut |to| commands::add(to, "s", &fields, Some(u64::MAX)));
        write(&mut |to| commands::read_latest(to, "s", 10));
        write(&mut |to| commands::read(to, "s", "$", 0));
        write(&mut |to| commands::range_from(to, "s", streamgate_protocol::EntryId::MAX, 5));
        write(&mut |to| commands::range_back_from(to, "s", streamgate_protocol::EntryId::MAX, 5));
        write(&mut |to| commands::length(to, "s"));
        write(&mut |to| commands::info(to, "s"));
        write(&mut |to| commands::create_group(to, "s", "g", "0"));
        write(&mut |to| commands::read_group(to, "s", "g", "c", 3));
        write(&mut |to| {
            commands::ack(to, "s", "g", &ids);
            commands::transaction(to, |to| commands::length(to, "s"));
        });
        write(&mut |to| commands::pending_summary(to, "s", "g"));
        write(&mut |to| commands::pending(to, "s", "g", ["-", "+"], 9, None, None));
        write(&mut |to| commands::pending(to, "s", "g", ["(1", "2"], 9, Some("c"), Some(5)));
        write(&mut |to| commands::claim(to, "s", "g", "c", 5, "0-0", u64::MAX));
        write(&mut |to| scripts::remove_consumer(to, "s", "g", "c", "heir"));
        for dead_letter in [None, Some("dead")] {
            let options = streamgate_protocol::ConsumeOptions {
                claim_after_ms: Some(5),
                max_deliveries: dead_letter.map(|_| 3),
                dead_letter: dead_letter.map(str::to_owned),
                ..Default::default()
            };
            let consume = Subscription::consume("s", "g", "c", options);
            let mut step = ReclaimStep::first(&consume).unwrap();
            write(&mut |to| scripts::reclaim(to, &step));
            step.since_ms = Some(7);
            write(&mut |to| scripts::reclaim(to, &step));
        }
    }

    #[derive(Default)]
    struct Both {
        packed: PackedCommands,
        pipeline: redis::Pipeline,
    }

    impl CommandWriter for Both {
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
