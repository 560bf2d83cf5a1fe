//! What a group's consumers hold, by calls on the control socket.

use futures_util::future::BoxFuture;
use serde_json::json;
use streamgate_protocol::{
    CacheResult, Claimed, PendingEntries, PendingEntry, PendingQuery, PendingSummary,
};

use super::backend::{ScriptClient, number, wrong};

impl PendingEntries for ScriptClient {
    fn pending_summary<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
    ) -> BoxFuture<'a, CacheResult<PendingSummary>> {
        Box::pin(async move {
            let given = self
                .call("pending", json!([stream_key, group_name]))
                .await?;
            let summary = given.summary.ok_or_else(|| wrong("no summary came"))?;
            Ok(*summary)
        })
    }

    fn pending<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        query: PendingQuery,
    ) -> BoxFuture<'a, CacheResult<Vec<PendingEntry>>> {
        Box::pin(async move {
            let options = json!({
                "start": query.start,
                "end": query.end,
                "count": number(query.count)?,
                "consumer": query.consumer,
                "minIdleMs": number(usize::try_from(query.min_idle_ms).unwrap_or(usize::MAX))?,
            });
            let args = json!([stream_key, group_name, options]);
            let given = self.call("pendingEntries", args).await?;
            given
                .pending
                .ok_or_else(|| wrong("no pending entries came"))
        })
    }

    fn claim<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        consumer_name: &'a str,
        min_idle_ms: u64,
        start: &'a str,
        count: usize,
    ) -> BoxFuture<'a, CacheResult<Claimed>> {
        Box::pin(async move {
            let min_idle_ms = number(usize::try_from(min_idle_ms).unwrap_or(usize::MAX))?;
            let options = json!({ "start": start, "count": number(count)? });
            let args = json!([stream_key, group_name, consumer_name, min_idle_ms, options]);
            let given = self.call("claim", args).await?;
            let claimed = given.claimed.ok_or_else(|| wrong("no claim came"))?;
            Ok((*claimed).into())
        })
    }

    fn remove_consumer<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        consumer_name: &'a str,
        new_owner: &'a str,
    ) -> BoxFuture<'a, CacheResult<u64>> {
        Box::pin(async move {
            let args = json!([stream_key, group_name, consumer_name, new_owner]);
            let given = self.call("removeConsumer", args).await?;
            let handed_over = given.handed_over;
            handed_over.ok_or_else(|| wrong("no number came"))
        })
    }
}
