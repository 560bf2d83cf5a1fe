//! What a group's consumers hold, seen from a handle.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_protocol::{
    CacheResult, Claimed, ConsumerGroups, Operation, PendingEntry, PendingQuery, PendingSummary,
};

use super::Client;
use super::streaming::owned;

impl ConsumerGroups for Client {
    fn pending_summary<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
    ) -> BoxFuture<'a, CacheResult<PendingSummary>> {
        let (stream, group) = (owned(stream_key), owned(group_name));
        let reply = self.request(Operation::PendingSummary { stream, group });
        async move { reply.await?.into_summary() }.boxed()
    }

    fn pending<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        query: PendingQuery,
    ) -> BoxFuture<'a, CacheResult<Vec<PendingEntry>>> {
        let operation = Operation::pending(owned(stream_key), owned(group_name), query);
        let reply = self.request(operation);
        async move { reply.await?.into_pending() }.boxed()
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
        let reply = self.request(Operation::Claim {
            stream: owned(stream_key),
            group: owned(group_name),
            consumer: owned(consumer_name),
            min_idle_ms,
            start: owned(start),
            count: count as u64,
        });
        async move { reply.await?.into_claimed() }.boxed()
    }

    fn remove_consumer<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        consumer_name: &'a str,
        heir_name: &'a str,
    ) -> BoxFuture<'a, CacheResult<u64>> {
        let reply = self.request(Operation::RemoveConsumer {
            stream: owned(stream_key),
            group: owned(group_name),
            consumer: owned(consumer_name),
            heir: owned(heir_name),
        });
        async move { reply.await?.into_removed() }.boxed()
    }
}
