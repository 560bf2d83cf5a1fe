//! The messages of the control socket. Each frame is a JSON list of them.

use serde::{Deserialize, Serialize};
use streamgate_protocol::error::retry_of;
use streamgate_protocol::{
    CacheError, CacheResult, Claimed, ConsumerInfo, Entry, Gap, GapReason, PendingEntry,
    PendingSummary,
};

use super::packed::{self, Packed};

/// A message to the script.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Command {
    /// Call a method of the client.
    Call {
        /// The number of the call, which the answer repeats.
        n: u64,
        /// A method of the JavaScript client.
        method: &'static str,
        /// The list of its arguments, with `null` for a missing option.
        args: serde_json::Value,
    },
    /// Abort a call. The script does not answer it then.
    Cancel {
        /// The call's number.
        cancel: u64,
    },
    /// End a subscription.
    End {
        /// The subscription's number.
        end: u64,
    },
}

/// A message from the script.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Report {
    /// The package is loaded and connected.
    Ready {},
    /// The package could not be loaded or connected.
    Failed(Fault),
    /// Answers a call.
    Answer {
        /// The call's number.
        n: u64,
        /// The result; `None` if the call failed.
        ok: Option<CallResult>,
        /// The error, if the call failed.
        error: Option<Fault>,
    },
}

/// The result of a call: the fields that its method returns.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallResult {
    /// The result of an add.
    pub(super) id: Option<String>,
    /// The result of a read.
    #[serde(default, deserialize_with = "packed::some_entries")]
    pub(super) entries: Option<Vec<Entry>>,
    /// The position after a read.
    pub(super) last_id: Option<String>,
    /// The next item of a subscription, unless it ended.
    pub(super) pulled: Option<Box<Pulled>>,
    /// The summary of pending entries.
    pub(super) summary: Option<Box<SummaryAnswer>>,
    /// The list of pending entries.
    pub(super) pending: Option<Vec<PendingAnswer>>,
    /// The result of a claim.
    pub(super) claimed: Option<Box<ClaimAnswer>>,
    /// The number of entries that the removal of a consumer transferred.
    pub(super) handed_over: Option<u64>,
    /// The number of entries that an ack acknowledged.
    pub(super) acknowledged: Option<u64>,
    /// The list of consumers.
    pub(super) consumers: Option<Vec<ConsumerAnswer>>,
}

impl CallResult {
    /// Returns whether the method returned nothing.
    pub(super) fn is_empty(&self) -> bool {
        matches!(
            self,
            Self {
                id: None,
                entries: None,
                last_id: None,
                pulled: None,
                summary: None,
                pending: None,
                claimed: None,
                handed_over: None,
                acknowledged: None,
                consumers: None,
            }
        )
    }
}

/// An item of a subscription.
#[derive(Debug, Deserialize)]
pub(super) struct Pulled {
    #[serde(deserialize_with = "packed::entries")]
    pub(super) entries: Vec<Entry>,
    /// Tails only: the gap before the entries.
    pub(super) gap: Option<GapAnswer>,
    /// Tails only: the position.
    pub(super) position: Option<String>,
}

/// A gap.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct GapAnswer {
    after: String,
    first: Option<String>,
    reason: String,
    position: String,
}

impl From<GapAnswer> for Gap {
    fn from(answer: GapAnswer) -> Self {
        Self::new(answer.after, answer.position)
            .first(answer.first)
            .reason(GapReason::of_word(&answer.reason))
    }
}

/// A summary of pending entries.
#[derive(Debug, Deserialize)]
pub(super) struct SummaryAnswer {
    count: u64,
    smallest: Option<String>,
    greatest: Option<String>,
    consumers: Vec<(Packed, u64)>,
}

impl From<SummaryAnswer> for PendingSummary {
    fn from(answer: SummaryAnswer) -> Self {
        Self::new(
            answer.count,
            answer.smallest,
            answer.greatest,
            answer
                .consumers
                .into_iter()
                .map(|(name, count)| (name.into(), count))
                .collect(),
        )
    }
}

/// A pending entry.
#[derive(Debug, Deserialize)]
pub(super) struct PendingAnswer {
    id: String,
    consumer: Packed,
    idle_ms: u64,
    deliveries: u64,
}

impl From<PendingAnswer> for PendingEntry {
    fn from(answer: PendingAnswer) -> Self {
        Self::new(
            answer.id,
            answer.consumer,
            answer.idle_ms,
            answer.deliveries,
        )
    }
}

/// A consumer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConsumerAnswer {
    name: Packed,
    pending: u64,
    idle_ms: u64,
}

impl From<ConsumerAnswer> for ConsumerInfo {
    fn from(answer: ConsumerAnswer) -> Self {
        Self::new(answer.name, answer.pending, answer.idle_ms)
    }
}

/// The result of a claim.
#[derive(Debug, Deserialize)]
pub(super) struct ClaimAnswer {
    cursor: String,
    #[serde(deserialize_with = "packed::entries")]
    entries: Vec<Entry>,
    deleted: Vec<String>,
}

impl From<ClaimAnswer> for Claimed {
    fn from(answer: ClaimAnswer) -> Self {
        Self::new(answer.cursor, answer.entries, answer.deleted)
    }
}

/// A thrown value.
#[derive(Debug, Deserialize)]
pub(super) struct Fault {
    name: String,
    code: Option<String>,
    retry: Option<String>,
    message: String,
}

impl Fault {
    /// The error of the trait that corresponds to it. `INTERNAL` if the value is not a documented
    /// `StreamgateError`.
    pub(super) fn into_error(self) -> CacheError {
        match (&*self.name, &self.code, &self.retry) {
            ("StreamgateError", Some(code), Some(retry)) if *retry == retry_of(code).as_str() => {
                CacheError::from_code(code, &self.message)
            }
            _ => CacheError::InternalError(format!("the package threw {self:?}")),
        }
    }
}

/// The outcome of a call.
pub(super) fn outcome(ok: Option<CallResult>, error: Option<Fault>) -> CacheResult<CallResult> {
    match (ok, error) {
        (Some(given), None) => Ok(given),
        (None, Some(fault)) => Err(fault.into_error()),
        _ => Err(CacheError::InternalError(
            "the script answered neither or both".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(name: &str, code: Option<&str>, retry: Option<&str>) -> CacheError {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let message = "why".to_owned();
        Fault {
            name: name.to_owned(),
            code: owned(code),
            retry: owned(retry),
            message,
        }
        .into_error()
    }

    #[test]
    fn a_documented_error_is_that_error() {
        let error = fault("StreamgateError", Some("NOGROUP"), Some("never"));
        assert_eq!(error, CacheError::BackendError("NOGROUP why".into()));
    }

    #[test]
    fn anything_else_is_a_bug() {
        for error in [
            fault("TypeError", Some("NOGROUP"), Some("never")),
            fault("StreamgateError", None, Some("never")),
            fault("StreamgateError", Some("NOGROUP"), None),
            fault("StreamgateError", Some("NOGROUP"), Some("later")),
        ] {
            assert_eq!(error.code(), "INTERNAL");
        }
    }

    #[test]
    fn an_answer_is_read() {
        let text =
            r#"{"answer":{"n":7,"ok":{"entries":[["1-1",[["a","\u0000"]]]],"lastId":"1-1"}}}"#;
        let Ok(Report::Answer {
            n: 7,
            ok: Some(given),
            error: None,
        }) = serde_json::from_str(text)
        else {
            panic!("not an answer");
        };
        let entry = Entry::new("1-1", [("a", "\0")]);
        assert_eq!(given.entries, Some(vec![entry]));
        assert_eq!(given.last_id.as_deref(), Some("1-1"));
    }
}
