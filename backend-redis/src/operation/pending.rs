//! What a group's consumers hold.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streamgate_protocol::{
    CacheResult, Claimed, ConsumerGroups, Operation, PendingEntry, PendingQuery, PendingSummary,
};

use crate::redis_streams::RedisStreams;

impl ConsumerGroups for RedisStreams {
    fn pending_summary<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
    ) -> BoxFuture<'a, CacheResult<PendingSummary>> {
        let (stream, group) = (stream_key.into(), group_name.into());
        let reply = self.call(Operation::PendingSummary { stream, group });
        async move { reply.await?.into_summary() }.boxed()
    }

    fn pending<'a>(
        &'a self,
        stream_key: &'a str,
        group_name: &'a str,
        query: PendingQuery,
    ) -> BoxFuture<'a, CacheResult<Vec<PendingEntry>>> {
        let operation = Operation::pending(stream_key, group_name, query);
        let reply = self.call(operation);
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
        let reply = self.call(Operation::Claim {
            stream: stream_key.into(),
            group: group_name.into(),
            consumer: consumer_name.into(),
            min_idle_ms,
            start: start.into(),
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
        let reply = self.call(Operation::RemoveConsumer {
            stream: stream_key.into(),
            group: group_name.into(),
            consumer: consumer_name.into(),
            heir: heir_name.into(),
        });
        async move { reply.await?.into_removed() }.boxed()
    }
}
