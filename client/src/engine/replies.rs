//! What was not answered before the connection was lost, on the next one; and what the server could
//! not find out because it lost its backend.

use streamgate_protocol::error::code;
use streamgate_protocol::message::{Credit, Item, Outcome};
use streamgate_protocol::{CacheError, CacheResult, Claimed, Reply, Retry, StreamEntry};

use super::pending_request::RetryPolicy;
use super::request_queue::Call;
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
                (RetryPolicy::AskAgain, _) => true,
                (RetryPolicy::LookAndAskAgain, _) if call.ask.look_after.is_some() => true,
                (RetryPolicy::LookAndAskAgain, Some(name)) => {
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
            return Ok(());
        }
        let reply = match result {
            Ok(reply) => reply,
            Err(error) => {
                self.failed(call, error, now);
                return Ok(());
            }
        };
        if call.ask.look_after.is_some() {
            self.looked(call, reply, now);
        } else if call.window.is_some() {
            let why = "the server answered a subscription";
            self.finish(id, Err(CacheError::from_code(code::PROTOCOL, why)));
            return Err(why);
        } else {
            match (call.ask.given_to(), &reply) {
                (Some(name), Reply::Entries { entries, .. })
                | (Some(name), Reply::Claimed(Claimed { entries, .. })) => {
                    self.given.came(name, entries);
                }
                _ => {}
            }
            self.finish(id, Ok(reply));
        }
        Ok(())
    }

    /// It ended with an error. If that is for the want of a backend it is asked again after a pause,
    /// unless its owner has waited for long enough; and first, what the backend may have given
    /// is looked for.
    // In its caller it would be more of what a browser downloads.
    #[inline(never)]
    fn failed(&mut self, mut call: Box<Call>, error: CacheError, now: Millis) {
        let room = call.window.as_ref().map_or(0, |window| window.room());
        if call.ask.look_after.is_some()
            && error.code() == code::LIMIT
            && call.ask.look_for_less(room)
        {
            return self.calls.ask_again(call);
        }
        let retry = error.retry();
        let mut goes_on = retry != Retry::Never;
        if call.ask.look_after.is_none() {
            let unknown = retry == Retry::Unknown;
            goes_on &= if unknown {
                call.ask.fate(now) != RetryPolicy::Unknown
            } else {
                call.goes_on(&error)
            };
            match call.ask.consumer() {
                // What a consumer takes over comes beside what it reads.
                Some(name) if unknown || call.ask.takes_over() => {
                    call.ask.look_after = self.given.look_after(name);
                    goes_on &= call.ask.look_after.is_some();
                }
                Some(_) => {}
                None => call.ask.maybe_done |= unknown,
            }
        }
        if goes_on && self.calls.has_patience(&call, now) {
            call.rest(now);
            return self.calls.ask_again(call);
        }
        self.remember(&call);
        let is_unknown = call.ask.maybe_done || goes_on && call.ask.look_after.is_some();
        let error = if retry != Retry::Never && is_unknown {
            CacheError::from_code(code::UNKNOWN_OUTCOME, error.message())
        } else {
            error
        };
        self.finish(call.id(), Err(error));
    }

    /// Its owner does not wait for it any more: the next that asks for the same consumer finds what
    /// it did not.
    pub(super) fn remember(&mut self, call: &Call) {
        if let (Some(name), Some(after)) = (call.ask.consumer(), &call.ask.look_after) {
            self.given.looked(name, Some(after));
        }
    }

    /// An add that is done once was answered.
    fn added_once(&mut self, mut call: Box<Call>, result: CacheResult<Reply>, now: Millis) {
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
    fn looked(&mut self, mut call: Box<Call>, reply: Reply, now: Millis) {
        let found = reply.into_entries();
        let (mut entries, name) = match (found, call.ask.consumer()) {
            (Ok(entries), Some(name)) => (entries, name),
            (Ok(_), None) => return,
            (Err(error), _) => return self.finish(call.id(), Err(error)),
        };
        call.pause_ms = 0;
        let last = entries.last().map(|(id, _)| id.clone());
        self.given.keep_new(name, &mut entries);
        self.given.came(name, &entries);
        self.given.looked(name, last.as_ref());
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
