//! Requests by operation and code, and how long they took.

use std::time::Duration;

use streamgate_protocol::Operation;
use streamgate_protocol::error::code::{CODES, ErrorKind};
use streamgate_protocol::message::Subscription;

use super::Count;
use super::histogram::Histogram;

/// The code of a request without an error.
const OK: &str = "ok";

/// The code of errors that only Redis knows: their number must be bounded.
const OTHER: &str = "other";

/// Declares the kinds of requests with their names.
macro_rules! operation_kinds {
    ($($kind:ident $name:literal,)*) => {
        /// What a request asks for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum OperationKind {
            $(#[doc = $name] $kind,)*
        }

        impl OperationKind {
            pub(super) const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Returns the name in the metrics.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

operation_kinds! {
    Add "add",
    IdempotentAdd "idempotent_add",
    ReadLatest "read_latest",
    Read "read",
    CreateGroup "create_group",
    ReadGroup "read_group",
    Ack "ack",
    ReadPending "read_pending",
    PendingSummary "pending_summary",
    Pending "pending",
    Claim "claim",
    RemoveConsumer "remove_consumer",
    Consumers "consumers",
    Tail "tail",
    Consume "consume",
    Unknown "unknown",
}

impl OperationKind {
    pub(crate) fn of(operation: &Operation<'_>) -> Self {
        match operation {
            Operation::Add { .. } => Self::Add,
            Operation::IdempotentAdd { .. } => Self::IdempotentAdd,
            Operation::ReadLatest { .. } => Self::ReadLatest,
            Operation::Read { .. } => Self::Read,
            Operation::CreateGroup { .. } => Self::CreateGroup,
            Operation::ReadGroup { .. } => Self::ReadGroup,
            Operation::Ack { .. } => Self::Ack,
            Operation::ReadPending { .. } => Self::ReadPending,
            Operation::PendingSummary { .. } => Self::PendingSummary,
            Operation::Pending { .. } => Self::Pending,
            Operation::Claim { .. } => Self::Claim,
            Operation::RemoveConsumer { .. } => Self::RemoveConsumer,
            Operation::Consumers { .. } => Self::Consumers,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn of_subscription(subscription: &Subscription<'_>) -> Self {
        match subscription {
            Subscription::Tail { .. } => Self::Tail,
            Subscription::Consume { .. } => Self::Consume,
            _ => Self::Unknown,
        }
    }
}

/// The counts of all requests.
#[derive(Debug, Default)]
pub(crate) struct RequestMetrics([OperationMetrics; OperationKind::ALL.len()]);

/// The counts of one kind of request.
#[derive(Debug)]
struct OperationMetrics {
    ok: Count,
    /// By the places of [`CODES`], and one for all others.
    errors: [Count; CODES.len() + 1],
    duration: Histogram,
}

impl Default for OperationMetrics {
    fn default() -> Self {
        Self {
            ok: Count::default(),
            errors: std::array::from_fn(|_| Count::default()),
            duration: Histogram::default(),
        }
    }
}

impl RequestMetrics {
    /// Counts requests that ended alike.
    ///
    /// Requests that waited for an entry have no duration.
    pub(crate) fn record(
        &self,
        operation: OperationKind,
        error: Option<ErrorKind>,
        duration: Option<Duration>,
        count: u64,
    ) {
        let Some(metrics) = self.0.get(operation as usize) else {
            return;
        };
        match error {
            None => metrics.ok.add(count),
            Some(error) => metrics.errors[code_index(error)].add(count),
        }
        if let Some(duration) = duration {
            metrics.duration.record(duration, count);
        }
    }

    /// Returns the operations with the codes that occurred, and `ok`.
    pub(super) fn by_code(&self) -> impl Iterator<Item = (OperationKind, &'static str, u64)> {
        self.operations().flat_map(|(operation, metrics)| {
            let names = CODES.iter().map(|row| row.name).chain([OTHER]);
            let errors = names.zip(&metrics.errors);
            let errors = errors.map(|(name, count)| (name, count.value()));
            let errors = errors.filter(|(_, count)| *count > 0);
            let all = [(OK, metrics.ok.value())].into_iter().chain(errors);
            all.map(move |(code, count)| (operation, code, count))
        })
    }

    pub(super) fn durations(&self) -> impl Iterator<Item = (OperationKind, &Histogram)> {
        self.operations()
            .map(|(operation, metrics)| (operation, &metrics.duration))
    }

    fn operations(&self) -> impl Iterator<Item = (OperationKind, &OperationMetrics)> {
        OperationKind::ALL.iter().copied().zip(&self.0)
    }
}

/// Returns the place of a code. The kinds are declared in the order of the table.
fn code_index(error: ErrorKind) -> usize {
    (error as usize).min(CODES.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_counted_in_its_own_place() {
        let requests = RequestMetrics::default();
        for row in CODES {
            requests.record(OperationKind::Add, Some(row.kind), None, 1);
        }
        requests.record(OperationKind::Add, Some(ErrorKind::Other), None, 2);
        let second = Duration::from_secs(1);
        requests.record(OperationKind::Add, None, Some(second), 3);
        let counted: Vec<_> = requests
            .by_code()
            .filter(|(operation, ..)| *operation == OperationKind::Add)
            .map(|(_, code, count)| (code, count))
            .collect();
        let errors = CODES.iter().map(|row| (row.name, 1));
        let expected: Vec<_> = [(OK, 3)]
            .into_iter()
            .chain(errors)
            .chain([(OTHER, 2)])
            .collect();
        assert_eq!(counted, expected);
        let (_, duration) = requests.durations().next().unwrap();
        assert_eq!(duration.values().count, 3);
    }
}
