//! Faults of the operations on pending entries.

use futures_util::future::BoxFuture;
use streamgate_protocol::{
    CacheResult, Claimed, ConsumerInfo, PendingEntries, PendingEntry, PendingQuery, PendingSummary,
};

use crate::{Broken, Fault};

impl PendingEntries for Broken {
    fn pending_summary<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
    ) -> BoxFuture<'a, CacheResult<PendingSummary>> {
        Box::pin(async move {
            let mut summary = self.inner.pending_summary(stream_key, group_name).await?;
            match self.fault {
                Fault::SummaryHasNoConsumers => summary.consumers.clear(),
                Fault::SummaryHasNoIds => summary.greatest = summary.smallest.clone(),
                _ => {}
            }
            Ok(summary)
        })
    }

    fn pending<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        mut query: PendingQuery,
    ) -> BoxFuture<'a, CacheResult<Vec<PendingEntry>>> {
        Box::pin(async move {
            match self.fault {
                Fault::PendingIgnoresTheConsumer => query.consumer = None,
                Fault::PendingIgnoresTheIdleTime => query.min_idle_ms = 0,
                Fault::PendingIncludesExcludedEnds => {
                    query.start = query.start.replace('(', "");
                }
                _ => {}
            }
            let mut pending = self.inner.pending(stream_key, group_name, query).await?;
            if self.fault == Fault::PendingCountsNoDeliveries {
                pending.iter_mut().for_each(|entry| entry.deliveries = 1);
            }
            Ok(pending)
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
            let idle = match self.fault {
                Fault::ClaimIgnoresTheIdleTime => 0,
                _ => min_idle_ms,
            };
            let (stream, group) = (stream_key, group_name);
            let claim = self
                .inner
                .claim(stream, group, consumer_name, idle, start, count);
            let mut claimed = claim.await?;
            match self.fault {
                Fault::ClaimReturnsNoCursor => claimed.cursor = "0-0".to_owned(),
                Fault::ClaimReportsNoDeletedEntries => claimed.deleted.clear(),
                _ => {}
            }
            Ok(claimed)
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
            let (stream, group) = (stream_key, group_name);
            if self.fault == Fault::RemovalLosesPendingEntries {
                let query = PendingQuery::default().consumer(consumer_name);
                let pending = self.inner.pending(stream, group, query).await?;
                let ids: Vec<_> = pending.into_iter().map(|entry| entry.id).collect();
                self.inner.stream_ack(stream, group, &ids).await?;
            }
            let removal = self
                .inner
                .remove_consumer(stream, group, consumer_name, new_owner);
            removal.await
        })
    }

    fn consumers<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
    ) -> BoxFuture<'a, CacheResult<Vec<ConsumerInfo>>> {
        self.inner.consumers(stream_key, group_name)
    }

    fn acknowledge<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, CacheResult<u64>> {
        self.inner.acknowledge(stream_key, group_name, ids)
    }
}
