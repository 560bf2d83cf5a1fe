//! `RedisStreams` as the streaming backend of the crate `multi-tier-cache`, on a real Redis.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use streamgate_protocol::multi_tier_cache::upstream::error::CacheError as UpstreamError;
use streamgate_protocol::multi_tier_cache::upstream::{
    Bytes, CacheBackend, CacheResult, CacheSystemBuilder, L2CacheBackend, StreamingBackend,
};
use streamgate_redis::RedisStreams;
use streamgate_test_support::{RedisServer, RedisVersion};

/// A cache that stores nothing: these tests use the streams only.
struct NoCache;

impl CacheBackend for NoCache {
    fn get<'a>(&'a self, _key: &'a str) -> BoxFuture<'a, Option<Bytes>> {
        Box::pin(async { None })
    }

    fn set_with_ttl<'a>(
        &'a self,
        _key: &'a str,
        _value: Bytes,
        _ttl: Duration,
    ) -> BoxFuture<'a, CacheResult<()>> {
        Box::pin(async { Ok(()) })
    }

    fn remove<'a>(&'a self, _key: &'a str) -> BoxFuture<'a, CacheResult<()>> {
        Box::pin(async { Ok(()) })
    }

    fn health_check(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { true })
    }

    fn name(&self) -> &'static str {
        "no cache"
    }
}

impl L2CacheBackend for NoCache {
    fn get_with_ttl<'a>(
        &'a self,
        _key: &'a str,
    ) -> BoxFuture<'a, Option<(Bytes, Option<Duration>)>> {
        Box::pin(async { None })
    }
}

#[tokio::test]
async fn a_cache_manager_publishes_waits_and_keeps_codes_of_errors() {
    let server = RedisServer::start(RedisVersion::V8_2).unwrap();
    let streams = RedisStreams::connect(&server.url()).await.unwrap();
    let system = CacheSystemBuilder::new()
        .with_l1(Arc::new(NoCache))
        .with_l2(Arc::new(NoCache))
        .with_streams(Arc::new(streams))
        .build()
        .await
        .unwrap();
    let manager = system.cache_manager();
    let fields = vec![("item".to_owned(), "tea".to_owned())];

    // A wait longer than 500 ms, which that crate's own backend cannot do.
    let waiting = manager.read_stream("orders", "0", 5, Some(60_000));
    let publishing = async {
        tokio::time::timeout(
            Duration::from_secs(60),
            manager.publish_to_stream("orders", fields.clone(), Some(10)),
        )
        .await
        .unwrap()
    };
    let (found, id) = tokio::join!(waiting, publishing);
    assert_eq!(found.unwrap(), [(id.unwrap(), fields)]);

    let error = manager
        .read_stream("orders", "no id", 1, None)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, UpstreamError::BackendError(m) if m.starts_with("ERR ")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_group_is_created_read_and_acknowledged() {
    let server = RedisServer::start(RedisVersion::V7_0).unwrap();
    let streams = RedisStreams::connect(&server.url()).await.unwrap();
    let backend: Arc<dyn StreamingBackend> = Arc::new(streams);
    backend
        .stream_create_group("orders", "kitchen", "0")
        .await
        .unwrap();
    let fields = vec![("item".to_owned(), "tea".to_owned())];
    let id = backend
        .stream_add("orders", fields.clone(), None)
        .await
        .unwrap();
    let read = backend.stream_read_group("orders", "kitchen", "cook", 1, None);
    assert_eq!(read.await.unwrap(), [(id.clone(), fields)]);
    backend
        .stream_ack("orders", "kitchen", &[id])
        .await
        .unwrap();
}
