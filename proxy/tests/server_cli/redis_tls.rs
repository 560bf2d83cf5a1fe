//! Redis over TLS: the flags, the settings file, and what is wrong with them.

use streamgate_protocol::ServerMessage;
use streamgate_test_support::{Authority, RedisServer};

use crate::running_server::{BlockingClient, RunningServer, error_line, streamgate};
use crate::settings::{Folder, WITH_TOKENS};
use crate::token::mint;

/// Writes the files of a client of this authority.
fn write(folder: &Folder, authority: &Authority) {
    let identity = authority.issue(&["streamgate"]).unwrap();
    folder.write("redis-ca.pem", &authority.certificate());
    folder.write("redis.pem", &identity.certificate);
    folder.write("redis.key", &identity.key);
}

#[test]
fn all_connections_use_the_files_that_flags_the_environment_or_settings_name() {
    let authority = Authority::new().unwrap();
    let redis = RedisServer::start_tls(&authority, true).unwrap();
    let tls = "redis_ca = 'redis-ca.pem'\nredis_certificate = 'redis.pem'\nredis_key = 'redis.key'";
    let key = "redis_key = 'streamgate:revoked'";
    let settings = WITH_TOKENS.replace("file = \"revoked.toml\"", key);
    let url = redis.url();
    let folder = Folder::with(&format!("redis = '{url}'\n{tls}\n{settings}"));
    write(&folder, &authority);
    assert!(
        folder
            .command(&["check"])
            .output()
            .unwrap()
            .status
            .success()
    );
    // The list of revocations is read from Redis, too.
    let server = RunningServer::start(folder.command(&["serve"]));
    let token = mint(&folder, "ann", "reader");
    let mut client = BlockingClient::connect_with(server.address, Some(&token));
    assert!(matches!(client.receive(), ServerMessage::Welcome(_)));

    let path = |name| folder.file().with_file_name(name);
    let mut command = streamgate(&["serve", "--listen", "127.0.0.1:0", "--redis", &url]);
    command.arg("--redis-ca").arg(path("redis-ca.pem"));
    command.env("STREAMGATE_REDIS_CERTIFICATE", path("redis.pem"));
    command.env("STREAMGATE_REDIS_KEY", path("redis.key"));
    let server = RunningServer::start(command);
    let mut client = BlockingClient::connect(server.address);
    assert!(matches!(client.receive(), ServerMessage::Welcome(_)));
    client.add(1).unwrap();
}

#[test]
fn what_is_wrong_with_the_files_ends_the_command_with_a_remedy() {
    let authority = Authority::new().unwrap();
    let redis = RedisServer::start_tls(&authority, true).unwrap();
    let url = redis.url();
    let folder = Folder::with("listen = '127.0.0.1:0'");
    write(&folder, &authority);
    let path = |name: &str| folder.file().with_file_name(name).display().to_string();
    let (ca, certificate, key) = (path("redis-ca.pem"), path("redis.pem"), path("redis.key"));
    for (arguments, expected) in [
        (&["--redis-ca", &ca][..], "--redis-ca without --redis"),
        (
            &["--redis", &url, "--redis-key", &key],
            "--redis-key without --redis-certificate",
        ),
        (
            &["--redis", "redis://127.0.0.1", "--redis-ca", &ca],
            "rediss://",
        ),
        (&["--redis", &url], "--redis-ca"),
        (
            &["--redis", &url, "--redis-ca", &ca],
            "requires a client certificate",
        ),
        (
            &[
                "--redis",
                &url,
                "--redis-ca",
                &ca,
                "--redis-certificate",
                &certificate,
                "--redis-key",
                &certificate,
            ],
            "no private key",
        ),
    ] {
        let mut command = folder.command(&["serve"]);
        command.args(arguments);
        let line = error_line(command, 2);
        assert!(line.contains(expected), "{line}");
    }
}
