//! `Client` as the streaming backend of the crate `multi-tier-cache`, against a scripted server.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use streamgate_client::{CacheError, ClientConfig};
use streamgate_protocol::message::{Fault, Outcome};
use streamgate_protocol::multi_tier_cache::upstream::error::CacheError as UpstreamError;
use streamgate_protocol::multi_tier_cache::upstream::{
    Bytes, CacheBackend, CacheManager, CacheResult, CacheSystemBuilder, L2CacheBackend,
    StreamingBackend,
};
use streamgate_protocol::{ClientMessage, Operation, Reply, ServerMessage};

use crate::scripted_server::{ScriptedServer, connected, entry};

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

/// A cache manager whose streams are a client, and the client's server.
async fn cache_manager() -> (Arc<CacheManager>, ScriptedServer) {
    let (client, server) = connected(ClientConfig::default()).await;
    let system = CacheSystemBuilder::new()
        .with_l1(Arc::new(NoCache))
        .with_l2(Arc::new(NoCache))
        .with_streams(Arc::new(client))
        .build()
        .await
        .unwrap();
    (Arc::clone(system.cache_manager()), server)
}

/// Receives the next request, sends its reply, and returns the operation.
async fn answer(server: &mut ScriptedServer, outcome: Outcome) -> Operation<'static> {
    match server.next().await {
        ClientMessage::Request { id, operation } => {
            server.send(&ServerMessage::Reply { id, outcome });
            operation
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_cache_manager_publishes_and_reads() {
    let (manager, mut server) = cache_manager().await;
    let fields = vec![("item".to_owned(), "tea".to_owned())];
    let publish = manager.publish_to_stream("orders", fields, Some(10));
    let added = Outcome::Ok(Reply::Added { id: "1-0".into() });
    let (id, operation) = tokio::join!(publish, answer(&mut server, added));
    assert_eq!(id.unwrap(), "1-0");
    assert_eq!(operation.stream(), "orders");

    let found = Outcome::Ok(Reply::Entries {
        entries: vec![entry("1-0")],
        last_id: Some("1-0".into()),
        more: false,
    });
    let read = manager.read_stream("orders", "0", 5, Some(0));
    let (entries, operation) = tokio::join!(read, answer(&mut server, found));
    assert_eq!(entries.unwrap(), [entry("1-0").into()]);
    assert_eq!(operation.block_ms(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn an_error_keeps_its_code() {
    let (manager, mut server) = cache_manager().await;
    let fault = Fault::from(&CacheError::from_code("WRONGTYPE", "not a stream"));
    let read = manager.read_stream_latest("orders", 1);
    let (result, _) = tokio::join!(read, answer(&mut server, Outcome::Error(fault)));
    let error = result.unwrap_err();
    assert!(
        matches!(&error, UpstreamError::BackendError(m) if m.starts_with("WRONGTYPE ")),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_group_operations_are_there_too() {
    let (client, mut server) = connected(ClientConfig::default()).await;
    let backend: Arc<dyn StreamingBackend> = Arc::new(client);
    let done = Outcome::Ok(Reply::Done {});
    let create = backend.stream_create_group("orders", "kitchen", "0");
    let (created, _) = tokio::join!(create, answer(&mut server, done));
    created.unwrap();

    let found = Outcome::Ok(Reply::entries(vec![entry("1-0")]));
    let read = backend.stream_read_group("orders", "kitchen", "cook", 1, None);
    let (entries, _) = tokio::join!(read, answer(&mut server, found));
    let ids = [entries.unwrap().remove(0).0];
    let (acknowledged, operation) = tokio::join!(
        backend.stream_ack("orders", "kitchen", &ids),
        answer(&mut server, Outcome::Ok(Reply::Acknowledged { count: 1 }))
    );
    acknowledged.unwrap();
    assert!(matches!(operation, Operation::Ack { .. }), "{operation:?}");
}
