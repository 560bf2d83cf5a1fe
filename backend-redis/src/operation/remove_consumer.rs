//! Removes a consumer and transfers its pending entries to a new owner.
//!
//! A removal of many entries continues after its batch, in pages of
//! [`TRANSFER_PAGE`](crate::wire::scripts::TRANSFER_PAGE) entries, so that Redis is not held up.
//! Only the last page and the removal itself have to be one step.

use redis::Value;
use streamgate_protocol::{ByteString, CacheError, CacheResult, Reply};

use crate::connection::command_connection::{CommandConnection, SendError};
use crate::operation::outcome::Step;
use crate::wire::packing::PackedCommands;
use crate::wire::{answers, errors, scripts};

/// A removal under way.
pub(super) struct ConsumerRemoval {
    stream: ByteString,
    group: ByteString,
    consumer: ByteString,
    new_owner: ByteString,
    /// Entries transferred so far.
    transferred: u64,
}

impl ConsumerRemoval {
    pub(super) fn new(stream: &[u8], group: &[u8], consumer: &[u8], new_owner: &[u8]) -> Self {
        let names = [stream, group, consumer, new_owner];
        let [stream, group, consumer, new_owner] = names.map(ByteString::from);
        Self {
            stream,
            group,
            consumer,
            new_owner,
            transferred: 0,
        }
    }

    /// Encodes the command for the next page.
    pub(super) fn encode(&self, to: &mut PackedCommands) {
        let (stream, group) = (&self.stream, &self.group);
        scripts::remove_consumer(to, stream, group, &self.consumer, &self.new_owner);
    }

    /// Takes the answer to a page.
    pub(super) fn step(mut self, value: Value) -> Step<Self> {
        match answers::transferred(value) {
            Ok((count, removed)) => {
                self.transferred += count;
                if removed {
                    let handed_over = self.transferred;
                    Step::Done(Ok(Reply::Removed { handed_over }))
                } else {
                    Step::More(self)
                }
            }
            Err(error) => Step::Done(Err(error)),
        }
    }

    /// Transfers the remaining pages.
    pub(super) async fn finish(mut self, commands: CommandConnection) -> CacheResult<Reply> {
        loop {
            let mut packed = PackedCommands::default();
            self.encode(&mut packed);
            let value = match commands.send(packed).await {
                Ok(mut values) => values
                    .pop()
                    .ok_or_else(|| errors::unexpected("an answer"))?,
                // This page was not sent, but earlier ones were transferred.
                Err(SendError::NotSent(error)) => {
                    return Err(CacheError::lost(false, error.message()));
                }
                Err(SendError::NoAnswer(error)) => return Err(errors::unanswered(&error, false)),
            };
            match self.step(value) {
                Step::Done(result) => return result,
                Step::More(rest) => self = rest,
            }
        }
    }
}
