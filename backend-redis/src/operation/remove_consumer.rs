//! A consumer's removal, part by part.

use redis::Value;
use streamgate_protocol::{CacheResult, Reply};

use crate::connection::command_connection::{Commands, Failure};
use crate::connection::resp::Packed;
use crate::wire::{answers, errors, scripts};

/// What goes on behind its first part.
pub(crate) struct Removal {
    stream: String,
    group: String,
    consumer: String,
    heir: String,
    handed_over: u64,
}

/// How far it has come.
pub(crate) enum Part {
    Last(CacheResult<Reply>),
    More(Removal),
}

impl Removal {
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
    pub(crate) fn pack(&self, packed: &mut Packed) {
        scripts::remove_consumer(
            packed,
            &self.stream,
            &self.group,
            &self.consumer,
            &self.heir,
        );
    }

    /// Takes what a part answered.
    pub(crate) fn answered(mut self, value: Value) -> Part {
        match answers::handed_over(value) {
            Ok((count, last)) => {
                self.handed_over += count;
                if last {
                    let handed_over = self.handed_over;
                    Part::Last(Ok(Reply::Removed { handed_over }))
                } else {
                    Part::More(self)
                }
            }
            Err(error) => Part::Last(Err(error)),
        }
    }

    /// Does what is left.
    pub(crate) async fn finish(mut self, commands: Commands) -> CacheResult<Reply> {
        loop {
            let mut packed = Packed::default();
            self.pack(&mut packed);
            let value = match commands.send(packed).await {
                Ok(mut values) => values
                    .pop()
                    .ok_or_else(|| errors::unexpected("an answer"))?,
                // Parts are done already.
                Err(Failure::NotSent(error)) => {
                    return Err(streamgate_protocol::CacheError::lost(
                        false,
                        error.message(),
                    ));
                }
                Err(Failure::NoAnswer(error)) => return Err(errors::unanswered(&error, false)),
            };
            match self.answered(value) {
                Part::Last(result) => return result,
                Part::More(rest) => self = rest,
            }
        }
    }
}
