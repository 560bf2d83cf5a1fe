//! Idempotent adds: an add that is sent again is stored once.

use streamgate_protocol::{Bytes, CacheResult};

use crate::answer::{Answer, Outcome};
use crate::dedup_window::{AddSequence, WindowKey};
use crate::store::Store;

impl Store {
    pub(super) fn add_once(
        &mut self,
        window: WindowKey,
        fields: Vec<(Bytes<'_>, Bytes<'_>)>,
        maxlen: Option<u64>,
        sequence: &AddSequence,
        now_ms: u64,
    ) -> CacheResult<Outcome> {
        if let Some(id) = self.dedup_windows.find(&window, sequence, now_ms)? {
            return Ok(Outcome::Done(Answer::Added(id)));
        }
        let outcome = self.add(&window.0, fields, maxlen, now_ms)?;
        if let Outcome::Done(Answer::Added(id)) = &outcome {
            self.dedup_windows.record(window, sequence, *id, now_ms);
        }
        Ok(outcome)
    }
}
