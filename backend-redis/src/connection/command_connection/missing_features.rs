//! Logs what an access list or an offering forbids: once, with what it costs and what mends it.

use std::collections::HashSet;

use streamgate_protocol::CacheError;

use crate::connection::resp::ServerFacts;

/// A feature that needs more than the six operations do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Feature {
    IdempotentAdds,
    Scripts,
    Tracking,
    StreamInfo,
    ServerInfo,
}

/// The features that were missing on the last connection.
#[derive(Debug, Default)]
pub(super) struct MissingFeatures(HashSet<Feature>);

impl MissingFeatures {
    /// Logs the features that are missing now and were not before.
    pub(super) fn report(&mut self, facts: &ServerFacts) {
        let missing = [
            (Feature::IdempotentAdds, &facts.dedup_refusal),
            (Feature::Scripts, &facts.eval_refusal),
            (Feature::Tracking, &facts.tracking_refusal),
            (Feature::StreamInfo, &facts.stream_info_refusal),
            (Feature::ServerInfo, &facts.info_refusal),
        ];
        for (feature, refusal) in missing {
            match refusal {
                Some(error) if self.0.insert(feature) => feature.log(error),
                Some(_) => {}
                None => drop(self.0.remove(&feature)),
            }
        }
    }
}

impl Feature {
    fn log(self, error: &CacheError) {
        let (costs, mend) = self.description();
        tracing::warn!(%error, mend, "Redis refuses something: {costs}");
    }

    /// Returns what its absence costs, and the rules of an access list that permit it.
    const fn description(self) -> (&'static str, &'static str) {
        match self {
            Self::IdempotentAdds => (
                "adds are plain ones, and exactly-once is off: an add whose answer is lost has an \
                 unknown outcome",
                "+evalsha +script|load +xadd +lindex +lrange +rpush +ltrim +pexpire \
                 ~streamgate:once:*",
            ),
            Self::Scripts => (
                "consumers cannot be removed, idle entries cannot be reclaimed, and answers of \
                 streams with large entries are bounded less exactly",
                "+eval",
            ),
            Self::Tracking => (
                "streams that somebody waits for are polled",
                "+client|tracking +client|caching",
            ),
            Self::StreamInfo => (
                "tails tell less exactly whether entries are missing, and do not notice a rollback",
                "+xinfo|stream",
            ),
            Self::ServerInfo => (
                "it is unknown whether Redis may evict keys, so a repeated add of a producer that \
                 is not remembered has an unknown outcome",
                "+info",
            ),
        }
    }
}
