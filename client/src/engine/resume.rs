//! What was not answered before the connection was lost, on the next one.

use streamgate_protocol::error::code;
use streamgate_protocol::message::{Credit, Item, Outcome};
use streamgate_protocol::{CacheError, CacheResult, Reply, Retry, StreamEntry};

use super::ask::Fate;
use super::calls::Call;
use super::{Engine, Event, Millis};

impl Engine {
    /// Keeps what can be asked again, in the order it was asked first; the rest ends with
    /// `UNKNOWN_OUTCOME`.
    pub(super) fn ask_again(&mut self, now: Millis) {
        self.cancels.clear();
        self.grants.clear();
        self.producers.lost();
        for mut call in self.calls.lose_sent(now) {
            let again = match (call.ask.fate(now), call.ask.consumer()) {
                (Fate::AskAgain, _) => true,
                (Fate::LookAndAskAgain, _) if call.ask.look_after.is_some() => true,
                (Fate::LookAndAskAgain, Some(name)) => {
                    let after = self.given.look_after(name);
                    call.ask.look_after = after;
                    call.ask.look_after.is_some()
                }
                _ => false,
            };
            if again {
                self.calls.ask_again(call);
            } else {
                self.fail_unsent(
                    &call,
                    code::DISCONNECTED,
                    "the connection was lost before the answer came",
                );
            }
        }
    }

    /// A reply came.
    ///
    /// # Errors
    ///
    /// The server must not answer that.
    pub(super) fn answered(
        &mut self,
        id: u64,
        outcome: Outcome,
        now: Millis,
    ) -> Result<(), &'static str> {
        let Some(call) = self.calls.answered(id) else {
            // It was on its way when the call was cancelled.
            return Ok(());
        };
        let result = CacheResult::from(outcome);
        if call.ask.adds_once().is_some() {
            self.added_once(call, result, now);
        } else if call.ask.look_after.is_some() {
            self.looked(call, result, now);
        } else if call.window.is_some() && result.is_ok() {
            let why = "the server answered a subscription";
            self.finish(id, Err(CacheError::from_code(code::PROTOCOL, why)));
            return Err(why);
        } else {
            if let (Some(name), Ok(Reply::Entries { entries, .. })) = (call.ask.consumer(), &result)
            {
                self.given.came(name, entries);
            }
            self.finish(id, result);
        }
        Ok(())
    }

    /// An add that is done once was answered.
    fn added_once(&mut self, mut call: Call, result: CacheResult<Reply>, now: Millis) {
        let Some((stream, Some((_, own)))) = call.ask.adds_once() else {
            return;
        };
        let error = match result {
            Ok(reply) => {
                self.producers.added(stream, own.number);
                return self.finish(call.id(), Ok(reply));
            }
            Err(error) => error,
        };
        let unknown = call.ask.maybe_done;
        let again = match error.code() {
            code::OUT_OF_ORDER => {
                self.producers.refused(stream, own.after);
                true
            }
            code::UNKNOWN_OUTCOME | code::TRYAGAIN => true,
            code::FORGOTTEN | code::SKIPPED => false,
            _ => unknown && error.retry() == Retry::Later,
        };
        if again {
            self.producers.stall(stream, now);
            call.ask.maybe_done |= error.code() == code::UNKNOWN_OUTCOME;
            call.ask.again_since.get_or_insert(now);
            return self.calls.ask_again(call);
        }
        self.producers.failed(stream);
        let is_known = error.code() == code::SKIPPED || !unknown;
        let error = if is_known && error.code() != code::FORGOTTEN {
            error
        } else {
            CacheError::from_code(code::UNKNOWN_OUTCOME, error.message())
        };
        self.finish(call.id(), Err(error));
    }

    /// What is pending for a consumer: what did not come yet is given to its owner.
    fn looked(&mut self, mut call: Call, result: CacheResult<Reply>, now: Millis) {
        let found = result.and_then(Reply::into_entries);
        let (mut entries, name) = match (found, call.ask.consumer()) {
            (Ok(entries), Some(name)) => (entries, name),
            (Ok(_), None) => return,
            (Err(error), _) => return self.finish(call.id(), Err(error)),
        };
        let last = entries.last().map(|(id, _)| id.clone());
        self.given.keep_new(name, &mut entries);
        self.given.came(name, &entries);
        if call.window.is_none() && !entries.is_empty() {
            let reply = Reply::Entries {
                entries,
                last_id: None,
            };
            return self.finish(call.id(), Ok(reply));
        }
        self.give(&mut call, entries);
        // Until there is nothing more; then it asks what it asked at first.
        call.ask.look_after = last;
        call.since = now;
        self.calls.ask_again(call);
    }

    /// As if they had been pushed.
    fn give(&mut self, call: &mut Call, entries: Vec<StreamEntry>) {
        if let Some(window) = &mut call.window
            && !entries.is_empty()
        {
            window.found(Credit::of(&entries));
            let item = Item::Entries {
                entries,
                position: None,
            };
            let id = call.id();
            self.events.push_back(Event::Pushed { id, item });
        }
    }
}
