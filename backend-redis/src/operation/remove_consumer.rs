//! A consumer's removal, part by part.

use redis::Value;
use streamgate_protocol::{CacheResult, Reply};

use crate::connection::command_connection::{CommandConnection, SendError};
use crate::connection::resp::PackedCommands;
use crate::wire::{answers, errors, scripts};

/// What goes on behind its first part.
pub(crate) struct ConsumerRemoval {
    stream: String,
    group: String,
    consumer: String,
    heir: String,
    handed_over: u64,
}

/// How far it has come.
pub(crate) enum RemovalStep {
    Last(CacheResult<Reply>),
    More(ConsumerRemoval),
}

impl ConsumerRemoval {
    pub(crate) fn new(stream: &str, group: &str, consumer: &str, heir: &str) -> Self {
        let [stream, group, consumer, heir] = [stream, group, consumer, heir].map(str::to_owned);
        Self {
            stream,
            group,
            consumer,
            heir,
            handed_over: 0,
        }
    }

    /// The command for the next part.
    pub(crate) fn pack(&self, packed: &mut PackedCommands) {
        scripts::remove_consumer(
            packed,
            &self.stream,
            &self.group,
            &self.consumer,
            &self.heir,
        );
    }

    /// Takes what a part answered.
    pub(crate) fn answered(mut self, value: Value) -> RemovalStep {
        match answers::handed_over(value) {
            Ok((count, last)) => {
                self.handed_over += count;
                if last {
                    let handed_over = self.handed_over;
                    RemovalStep::Last(Ok(Reply::Removed { handed_over }))
                } else {
                    RemovalStep::More(self)
                }
            }
            Err(error) => RemovalStep::Last(Err(error)),
        }
    }

    /// Does what is left.
    pub(crate) async fn finish(mut self, commands: CommandConnection) -> CacheResult<Reply> {
        loop {
            let mut packed = PackedCommands::default();
            self.pack(&mut packed);
            let value = match commands.send(packed).await {
                Ok(mut values) => values
                    .pop()
                    .ok_or_else(|| errors::unexpected("an answer"))?,
                // Parts are done already.
                Err(SendError::NotSent(error)) => {
                    return Err(streamgate_protocol::CacheError::lost(
                        false,
                        error.message(),
                    ));
                }
                Err(SendError::NoAnswer(error)) => return Err(errors::unanswered(&error, false)),
            };
            match self.answered(value) {
                RemovalStep::Last(result) => return result,
                RemovalStep::More(rest) => self = rest,
            }
        }
    }
}
