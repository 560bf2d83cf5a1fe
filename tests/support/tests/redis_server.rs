//! Redis servers start, stop and start again.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use streamgate_test_support::{RedisServer, RedisVersion};

fn ask(server: &RedisServer, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port()))?;
    stream.set_read_timeout(Some(Duration::from_millis(300)))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut answer = [0; 8192];
    let length = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

#[test]
fn each_version_starts_with_its_arguments_and_ends_on_drop() {
    for (version, number) in [
        (RedisVersion::V7_0, "redis_version:7.0."),
        (RedisVersion::V8_2, "redis_version:8.2."),
        (RedisVersion::Valkey9, "valkey_version:9."),
    ] {
        let server = RedisServer::start_with(version, &["--stream-node-max-entries", "1"]).unwrap();
        assert!(
            ask(&server, "INFO server").unwrap().contains(number),
            "{version:?}"
        );
        assert!(
            ask(&server, "CONFIG GET stream-node-max-entries")
                .unwrap()
                .contains("\r\n1\r\n")
        );
        assert!(ask(&server, "CONFIG GET save").unwrap().contains("$0\r\n"));
        let port = server.port();
        drop(server);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}

#[test]
fn a_killed_server_starts_again_on_its_port() {
    let mut server = RedisServer::start(RedisVersion::V7_0).unwrap();
    let (port, pid) = (server.port(), server.pid());
    server.kill().unwrap();
    assert_eq!(server.pid(), None);
    assert!(server.pause().is_err());
    assert!(ask(&server, "PING").is_err());
    server.restart().unwrap();
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
    assert_eq!(ask(&server, "PING").unwrap(), "+PONG\r\n");
}

#[test]
fn a_paused_server_is_silent_until_it_is_resumed() {
    let server = RedisServer::start(RedisVersion::V7_0).unwrap();
    server.pause().unwrap();
    assert!(ask(&server, "PING").is_err());
    server.resume().unwrap();
    assert_eq!(ask(&server, "PING").unwrap(), "+PONG\r\n");
}

#[test]
fn a_durable_server_keeps_what_it_acknowledged() {
    for version in RedisVersion::ALL {
        let mut server = RedisServer::start_durable(version).unwrap();
        assert_eq!(ask(&server, "SET key value").unwrap(), "+OK\r\n");
        server.kill().unwrap();
        server.restart().unwrap();
        assert_eq!(ask(&server, "GET key").unwrap(), "$5\r\nvalue\r\n");
    }
}
