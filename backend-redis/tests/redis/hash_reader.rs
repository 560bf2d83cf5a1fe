//! Hashes that are read as a whole.

use std::time::Duration;

use streamgate_redis::{HashReader, RedisStreams};
use streamgate_test_support::RedisVersion;

use crate::fixture::Fixture;

/// Catches hangs.
const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_hash_is_read_whole_within_its_bound_and_again_after_a_loss() {
    for version in RedisVersion::ALL {
        let mut fixture = Fixture::new(version).await;
        let mut reader =
            HashReader::new(&RedisStreams::builder(&fixture.server.url()), "h").unwrap();
        assert_eq!(reader.read(0, TIMEOUT).await.unwrap().len(), 0);
        let script = "for i=1,5000 do redis.call('HSET','h','f'..i,i) end";
        let mut fill = redis::cmd("EVAL");
        fill.arg(script).arg(0);
        fill.exec_async(&mut fixture.direct).await.unwrap();
        let fields = reader.read(5_000, TIMEOUT).await.unwrap();
        assert_eq!((fields.len(), &*fields["f77"]), (5_000, "77"));
        let too_many = reader.read(4_999, TIMEOUT).await.unwrap_err();
        assert_eq!(too_many.code(), "LIMIT");
        let kill = "CLIENT KILL TYPE normal SKIPME yes";
        fixture.command::<()>(kill).await.unwrap();
        if let Err(lost) = reader.read(5_000, TIMEOUT).await {
            assert_eq!(lost.code(), "DISCONNECTED", "it had not noticed yet");
        }
        assert_eq!(reader.read(5_000, TIMEOUT).await.unwrap().len(), 5_000);
        fixture.command::<()>("SET h text").await.unwrap();
        let wrong = reader.read(5_000, TIMEOUT).await.unwrap_err();
        assert_eq!(wrong.code(), "WRONGTYPE");
        fixture.server.pause().unwrap();
        let silent = reader.read(5_000, Duration::from_millis(50)).await;
        assert_eq!(silent.unwrap_err().code(), "TIMEOUT");
        fixture.server.resume().unwrap();
        let wrong = reader.read(5_000, TIMEOUT).await.unwrap_err();
        assert_eq!(wrong.code(), "WRONGTYPE");
        fixture.server.kill().unwrap();
        let lost = reader.read(5_000, TIMEOUT).await.unwrap_err();
        assert_eq!(lost.code(), "DISCONNECTED");
    }
}
