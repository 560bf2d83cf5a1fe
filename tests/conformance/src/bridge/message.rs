//! The messages of the control socket. Each frame is a JSON list of them.

use serde::{Deserialize, Serialize};
use streamgate_protocol::error::retry_of;
use streamgate_protocol::{
    CacheError, CacheResult, Claimed, Gap, PendingEntry, PendingSummary, StreamEntry,
};

use super::packed;

/// To the script.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Command {
    /// Call a method of the client.
    Call {
        /// Chosen here, named in the answer.
        n: u64,
        /// A method of the JavaScript client.
        method: &'static str,
        /// Its arguments, as a list; `null` for an option that is left out.
        args: serde_json::Value,
    },
    /// Abort a call. It is not answered then.
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

/// From the script.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Report {
    /// The package is loaded and connected.
    Ready {},
    /// It is not.
    Failed(Fault),
    /// Answers a call.
    Answer {
        /// The call's number.
        n: u64,
        /// What it gave; `None` if it failed.
        ok: Option<CallResult>,
        /// How it failed.
        error: Option<Fault>,
    },
}

/// What a call gave.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallResult {
    /// Of an add.
    pub(super) id: Option<String>,
    /// Of the reads.
    #[serde(default, deserialize_with = "packed::some_entries")]
    pub(super) entries: Option<Vec<StreamEntry>>,
    /// Of a read.
    pub(super) last_id: Option<String>,
    /// Of a subscription, unless it ended.
    pub(super) pulled: Option<Box<Pulled>>,
    /// Of a summary of what is pending.
    pub(super) summary: Option<Box<PendingSummary>>,
    /// Of a look at pending entries.
    pub(super) pending: Option<Vec<PendingEntry>>,
    /// Of a claim.
    pub(super) claimed: Option<Box<ClaimAnswer>>,
    /// Of a consumer's removal.
    pub(super) handed_over: Option<u64>,
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
            }
        )
    }
}

/// What a subscription gave.
#[derive(Debug, Deserialize)]
pub(super) struct Pulled {
    #[serde(deserialize_with = "packed::entries")]
    pub(super) entries: Vec<StreamEntry>,
    /// Of a tail: what is missing in front of them.
    pub(super) gap: Option<Gap>,
    /// Of a tail: where it stands.
    pub(super) position: Option<String>,
}

/// What a claim gave.
#[derive(Debug, Deserialize)]
pub(super) struct ClaimAnswer {
    cursor: String,
    #[serde(deserialize_with = "packed::entries")]
    entries: Vec<StreamEntry>,
    deleted: Vec<String>,
}

impl From<ClaimAnswer> for Claimed {
    fn from(answer: ClaimAnswer) -> Self {
        Self::new(answer.cursor, answer.entries, answer.deleted)
    }
}

/// What was thrown.
#[derive(Debug, Deserialize)]
pub(super) struct Fault {
    name: String,
    code: Option<String>,
    retry: Option<String>,
    message: String,
}

impl Fault {
    /// The error that the package stands for; `INTERNAL` if it threw something else than a
    /// `StreamgateError` as it is documented.
    pub(super) fn into_error(self) -> CacheError {
        match (&*self.name, &self.code, &self.retry) {
            ("StreamgateError", Some(code), Some(retry)) if *retry == retry_of(code).as_str() => {
                CacheError::from_code(code, &self.message)
            }
            _ => CacheError::InternalError(format!("the package threw {self:?}")),
        }
    }
}

/// Of a call's answer.
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
        let fields = vec![("a".to_owned(), "\0".to_owned())];
        assert_eq!(given.entries, Some(vec![("1-1".to_owned(), fields)]));
        assert_eq!(given.last_id.as_deref(), Some("1-1"));
    }
}
