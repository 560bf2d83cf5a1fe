//! Unix sockets, and the schemes of Valkey.

use streamgate_protocol::StreamingBackend;
use streamgate_redis::RedisStreams;
use streamgate_test_support::RedisVersion;

use crate::fixture::Fixture;

#[tokio::test]
async fn a_unix_socket_takes_a_user_a_password_and_a_database() {
    for version in RedisVersion::ALL {
        let fixture = Fixture::new(version).await;
        let user = "ACL SETUSER app on >p&w ~* &* +@all";
        let _: String = fixture.command(user).await.unwrap();
        let socket = fixture.server.socket_url();
        let path = socket.strip_prefix("unix://").unwrap();
        for scheme in ["unix", "redis+unix", "valkey+unix"] {
            let url = format!("{scheme}://{path}?user=app&pass=p%26w&db=3");
            let streams = RedisStreams::connect(&url).await.unwrap();
            let fields = vec![("f".into(), scheme.into())];
            streams.stream_add("s", fields, None).await.unwrap();
        }
        let _: String = fixture.command("SELECT 3").await.unwrap();
        assert_eq!(fixture.command::<u64>("XLEN s").await.unwrap(), 3);
        let wrong = RedisStreams::connect(&format!("{socket}?user=app&pass=other")).await;
        assert_eq!(wrong.unwrap_err().code(), "CONFIG");
        let missing = RedisStreams::connect(&format!("{socket}-2")).await;
        let missing = missing.unwrap_err();
        assert_eq!(missing.code(), "DISCONNECTED");
        assert!(missing.to_string().contains(path), "{missing}");
    }
}

#[tokio::test]
async fn the_scheme_of_valkey_means_that_of_redis() {
    let fixture = Fixture::new(RedisVersion::V7_0).await;
    let url = fixture.server.url().replace("redis://", "valkey://");
    let streams = RedisStreams::connect(&url).await.unwrap();
    let fields = vec![("f".into(), "v".into())];
    streams.stream_add("s", fields, None).await.unwrap();
    assert_eq!(fixture.command::<u64>("XLEN s").await.unwrap(), 1);
}
