//! The settings file: precedence, errors, `streamgate check`, and what a change of it does.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use streamgate_protocol::ServerMessage;
use streamgate_protocol::message::Welcome;

use crate::running_server::{BlockingClient, Log, RunningServer, error_line, get_from, streamgate};
use crate::token::mint;

/// A server with a policy, whose tokens `streamgate token mint` signs.
pub(crate) const WITH_TOKENS: &str = r#"
listen = "127.0.0.1:0"
[auth]
audience = "streamgate"
[[auth.keys]]
id = "dev"
algorithm = "HS256"
secret_file = "dev.secret"
[auth.revocation]
file = "revoked.toml"
[roles.writer]
rights = [{ allow = ["add"], streams = ["s"] }]
[roles.reader]
rights = [{ allow = ["read"], streams = ["*"] }]
"#;

/// What `WITH_TOKENS` says of adding.
const MAY_ADD: &str = r#"allow = ["add"]"#;

/// A folder with a settings file.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn with(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("dev.secret", "a secret of at least thirty-two bytes\n");
        folder.write("revoked.toml", "");
        folder.write("streamgate.toml", text);
        folder
    }

    /// Replaces a file at once, as an editor or Kubernetes does.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.0.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.0.path().join(name)).unwrap();
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("streamgate.toml")
    }

    /// Returns a command with `--config`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = streamgate(arguments);
        command.arg("--config").arg(self.file());
        command
    }

    /// Starts the server with an admin listener. Returns its log up to now, and that listener.
    pub(crate) fn start(&self) -> (RunningServer, Log, std::net::SocketAddr) {
        let mut command = self.command(&["serve", "--admin-listen", "127.0.0.1:0"]);
        command.env_remove("STREAMGATE_ADMIN_LISTEN");
        let mut server = RunningServer::start(command);
        let mut log = Log::of(&mut server);
        let line = log.until("admin listener on http://");
        let address = line
            .split("http://")
            .nth(1)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        (server, log, address)
    }
}

fn welcome(command: Command) -> Welcome {
    let server = RunningServer::start(command);
    match BlockingClient::connect(server.address).receive() {
        ServerMessage::Welcome(welcome) => welcome,
        other => panic!("no welcome: {other:?}"),
    }
}

fn connect(server: &RunningServer, token: &str) -> BlockingClient {
    let mut client = BlockingClient::connect_with(server.address, Some(token));
    assert!(matches!(client.receive(), ServerMessage::Welcome(_)));
    client
}

#[test]
fn a_flag_overrides_the_environment_which_overrides_the_file() {
    let folder = Folder::with("listen = '127.0.0.1:0'\nmax_in_flight = 300\nheartbeat_ms = 9000");
    let of_file = welcome(folder.command(&["serve"]));
    assert_eq!((of_file.max_in_flight, of_file.heartbeat_ms), (300, 9_000));
    let mut command = folder.command(&["serve"]);
    command.env("STREAMGATE_MAX_IN_FLIGHT", "400");
    assert_eq!(welcome(command).max_in_flight, 400);
    let mut command = folder.command(&["serve", "--max-in-flight", "500"]);
    command.env("STREAMGATE_MAX_IN_FLIGHT", "400");
    assert_eq!(welcome(command).max_in_flight, 500);
    let mut command = streamgate(&["serve"]);
    command.env("STREAMGATE_CONFIG", folder.file());
    assert_eq!(welcome(command).max_in_flight, 300);
}

#[test]
fn an_invalid_file_ends_each_command_with_one_sentence() {
    for (text, part) in [
        (
            "\nlissten = 'x'",
            "streamgate.toml:2: unknown key 'lissten'; did you mean 'listen'?",
        ),
        (
            "max_sockets = 0",
            "streamgate.toml:1: invalid max_sockets: 0 is not in 1..",
        ),
        ("[auth]", "admits nobody"),
    ] {
        let folder = Folder::with(text);
        for command in ["serve", "check"] {
            let line = error_line(folder.command(&[command]), 2);
            assert!(line.contains(part), "{part:?} in {line}");
        }
    }
    let absent = error_line(streamgate(&["check", "--config", "/no/such/file"]), 2);
    assert!(absent.contains("cannot read '/no/such/file'"), "{absent}");
}

#[test]
fn check_shows_who_may_do_what() {
    let folder = Folder::with(WITH_TOKENS);
    let output = folder.command(&["check"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "role    permissions  streams  groups  consumers  prefix  maxlen  max_count",
        "reader  read         *        -       -          -       -       -",
        "writer  add          s        -       -          -       -       -",
        "key: dev (HS256)",
        "without a token: refused",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} in {text}");
    }
}

#[test]
fn a_file_that_narrows_rights_takes_effect_on_open_sockets() {
    let folder = Folder::with(WITH_TOKENS);
    let (server, mut log, _) = folder.start();
    let mut client = connect(&server, &mint(&folder, "ann", "writer"));
    client.add(1).unwrap();
    folder.write(
        "streamgate.toml",
        &WITH_TOKENS.replace(MAY_ADD, r#"allow = ["read"]"#),
    );
    log.until("settings read again");
    assert_eq!(client.add(2).unwrap_err().0, "NOPERM");
    // And back, on the same socket.
    folder.write("streamgate.toml", WITH_TOKENS);
    log.until("settings read again");
    client.add(3).unwrap();
}

#[test]
fn limits_are_shown_by_check_and_change_on_open_sockets() {
    let with = |limits: &str| format!("{WITH_TOKENS}\n[limits]\n{limits}\n");
    let folder = Folder::with(&with("per_subject = { new_windows_per_s = 3 }"));
    let output = folder.command(&["check"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "limits of a subject: 100 sockets, 20000 requests/s, 50000000 bytes/s, 3 new dedup windows/s",
        "limits of an address: 200 connections/s",
        "limits of a socket: 10000 requests/s, 25000000 bytes/s",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} in {text}");
    }
    let (server, mut log, admin) = folder.start();
    let mut client = connect(&server, &mint(&folder, "ann", "writer"));
    client.add(1).unwrap();
    folder.write("streamgate.toml", &with("per_socket = { bytes_per_s = 1 }"));
    log.until("settings read again");
    // What was used before takes a minute to come back.
    assert_eq!(client.add(2).unwrap_err().0, "OVERLOADED");
    let metrics = get_from(admin, "/metrics");
    let refused = "streamgate_refusals_total{reason=\"too_many_bytes_of_socket\"} 1";
    assert!(metrics.contains(refused), "{metrics}");
    folder.write("streamgate.toml", &with("per_socket = { bytes_per_s = 0 }"));
    let line = log.until("the last good file stays in force");
    assert!(line.contains("per_socket.bytes_per_s = 0"), "{line}");
    folder.write("streamgate.toml", WITH_TOKENS);
    log.until("settings read again");
    client.add(4).unwrap();
    for command in ["serve", "check"] {
        folder.write(
            "streamgate.toml",
            &with("per_address = { connections_per_s = 0 }"),
        );
        let line = error_line(folder.command(&[command]), 2);
        assert!(line.contains("per_address.connections_per_s = 0"), "{line}");
    }
}

#[test]
fn a_broken_file_changes_nothing_and_is_reported() {
    let folder = Folder::with(WITH_TOKENS);
    let (server, mut log, admin) = folder.start();
    let mut client = connect(&server, &mint(&folder, "ann", "writer"));
    let broken = [
        ("streamgate.toml", "[auth]\nsecret = 'hunter2'", "settings"),
        ("streamgate.toml", "[[", "settings"),
        ("dev.secret", "short", "settings"),
        ("revoked.toml", "[[revoked]]\nall = true", "revoked_tokens"),
    ];
    for (id, (name, text, source)) in (1..).zip(broken) {
        let good = fs::read_to_string(folder.file().with_file_name(name)).unwrap();
        folder.write(name, text);
        let line = log.until("the last good file stays in force");
        assert!(line.contains(&format!("source={source}")), "{line}");
        assert!(!line.contains("hunter2"), "{line}");
        client.add(id).unwrap();
        let ready = get_from(admin, "/readyz");
        assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
        let detail = format!("\"reload_errors\":{{\"{source}\":\"");
        assert!(ready.contains(&detail), "{ready}");
        let metrics = get_from(admin, "/metrics");
        let failed = format!("streamgate_reload_failed{{source=\"{source}\"}} 1");
        assert!(metrics.contains(&failed), "{metrics}");
        folder.write(name, &good);
        log.until("read again");
        let ready = get_from(admin, "/readyz");
        assert!(ready.contains("\"reload_errors\":{}"), "{ready}");
    }
}

#[test]
fn a_revocation_in_the_file_closes_the_socket() {
    let folder = Folder::with(WITH_TOKENS);
    let (server, mut log, _) = folder.start();
    let [ann, bob] = ["ann", "bob"].map(|subject| mint(&folder, subject, "writer"));
    let mut revoked = connect(&server, &ann);
    let mut other = connect(&server, &bob);
    revoked.add(1).unwrap();
    let list = "[[revoked]]\nsub = 'ann'\nbefore = 2100-01-01T00:00:00Z\n";
    folder.write("revoked.toml", list);
    assert_eq!(revoked.close_code(), 4401);
    log.until("revoked tokens read again revocations=1");
    other.add(1).unwrap();
    let mut again = BlockingClient::connect_with(server.address, Some(&ann));
    assert_eq!(again.close_code(), 4401);
}

#[test]
fn a_revocation_that_is_gone_counts_until_the_file_has_settled() {
    let folder = Folder::with(WITH_TOKENS);
    let list = "[[revoked]]\nsub = 'ann'\nbefore = 2100-01-01T00:00:00Z\n";
    folder.write("revoked.toml", list);
    let (server, mut log, _) = folder.start();
    let ann = mint(&folder, "ann", "writer");
    // As if the list were being written.
    folder.write("revoked.toml", "");
    log.until("revoked tokens read again revocations=0");
    log.until("revocations are lifted");
    connect(&server, &ann).add(1).unwrap();
}

#[cfg(unix)]
#[test]
fn a_hangup_reads_the_files_and_settings_that_need_a_restart_are_named() {
    let folder = Folder::with(WITH_TOKENS);
    let (server, mut log, _) = folder.start();
    let hangup = || {
        let process = server.child.id().to_string();
        let kill = Command::new("kill").args(["-HUP", &process]).status();
        assert!(kill.unwrap().success());
    };
    hangup();
    log.until("settings read again");
    log.until("revoked tokens read again");
    folder.write(
        "streamgate.toml",
        &format!("max_sockets = 7\n{WITH_TOKENS}"),
    );
    let line = log.until("settings have changed that need a restart");
    assert!(line.contains("settings=\"max_sockets\""), "{line}");
    folder.write("streamgate.toml", "listen = '127.0.0.1:0'");
    let line = log.until("settings have changed that need a restart");
    assert!(line.contains("[auth]"), "{line}");
    // Without [auth] in the file, the policy of the start stays.
    let mut client = connect(&server, &mint_elsewhere("ann"));
    client.add(1).unwrap();
}

/// Returns a token for the writer that a server with the same secret accepts.
fn mint_elsewhere(subject: &str) -> String {
    mint(&Folder::with(WITH_TOKENS), subject, "writer")
}

#[test]
fn listening_beyond_loopback_needs_a_policy_and_tls() {
    let policy = Folder::with(&WITH_TOKENS.replace("127.0.0.1:0", "0.0.0.0:0"));
    let none = Folder::with("listen = '0.0.0.0:0'");
    let (authentication, tls) = ("[auth]", "--behind-tls-proxy");
    let refused: [(_, &[&str], _); 3] = [
        (&none, &["serve"], [true, true]),
        (&none, &["serve", tls], [true, false]),
        (&policy, &["serve"], [false, true]),
    ];
    for (folder, arguments, missing) in refused {
        let line = error_line(folder.command(arguments), 2);
        let named = [authentication, tls].map(|part| line.contains(part));
        assert_eq!(named, missing, "{line}");
        assert!(line.contains("0.0.0.0:0"), "{line}");
    }
    assert!(error_line(policy.command(&["check"]), 2).contains(tls));
    let mut server = RunningServer::start(policy.command(&["serve", tls]));
    server.child.kill().unwrap();
    let mut insecure = RunningServer::start(none.command(&["serve", "--insecure"]));
    let warning = Log::of(&mut insecure).until("--insecure");
    assert!(warning.contains("WARN"), "{warning}");
}

#[test]
fn the_url_of_redis_may_be_in_a_file_and_is_never_shown() {
    let folder = Folder::with("redis_file = 'redis.url'\nlisten = '127.0.0.1:0'");
    folder.write("redis.url", "http://:hunter2@127.0.0.1\n");
    let line = error_line(folder.command(&["serve"]), 2);
    assert!(line.contains("invalid Redis URL"), "{line}");
    assert!(!line.contains("hunter2"), "{line}");
    // A flag replaces it.
    RunningServer::start(folder.command(&["serve", "--memory-bytes", "1000000"]));
}

#[test]
fn origins_come_from_the_file_the_environment_or_flags_and_are_read_again() {
    let folder = Folder::with("listen = '127.0.0.1:0'\nallowed_origins = ['https://a.example']");
    let status = |address: std::net::SocketAddr, origin: &str| {
        let request = format!(
            "GET /v1/ws HTTP/1.1\r\nhost: localhost\r\norigin: {origin}\r\n\
             connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             sec-websocket-protocol: streamgate.v1.json\r\n\r\n"
        );
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        String::from_utf8(status[9..].to_vec()).unwrap()
    };
    let (server, mut log, admin) = folder.start();
    assert_eq!(status(server.address, "https://a.example"), "101");
    assert_eq!(status(server.address, "https://b.example"), "403");
    let metrics = get_from(admin, "/metrics");
    let refused = "streamgate_refusals_total{reason=\"foreign_origin\"} 1";
    assert!(metrics.contains(refused), "{metrics}");
    let changed = "listen = '127.0.0.1:0'\nallowed_origins = ['https://b.example']";
    folder.write("streamgate.toml", changed);
    log.until("settings read again");
    assert_eq!(status(server.address, "https://a.example"), "403");
    assert_eq!(status(server.address, "https://b.example"), "101");
    folder.write(
        "streamgate.toml",
        "listen = '127.0.0.1:0'\nallowed_origins = ['b.example']",
    );
    let line = log.until("the last good file stays in force");
    assert!(line.contains("invalid origin 'b.example'"), "{line}");
    assert_eq!(status(server.address, "https://b.example"), "101");
    for command in ["serve", "check"] {
        let line = error_line(folder.command(&[command]), 2);
        assert!(line.contains("invalid origin 'b.example'"), "{line}");
    }

    let mut command = folder.command(&["serve", "--public-origin", "https://p.example"]);
    command.env(
        "STREAMGATE_ALLOWED_ORIGINS",
        "https://c.example,https://d.example",
    );
    command.env("STREAMGATE_ALLOWED_HOSTS", "h.example");
    let server = RunningServer::start(command);
    for (origin, expected) in [("c", "101"), ("d", "101"), ("p", "101"), ("b", "403")] {
        let origin = format!("https://{origin}.example");
        assert_eq!(status(server.address, &origin), expected, "{origin}");
    }
}

/// The example of README.md is what a newcomer copies.
#[test]
fn the_settings_of_the_readme_are_valid() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let example = readme
        .split("```toml\n")
        .find(|block| block.contains("\n[auth]\n"));
    let example = example.unwrap().split("```").next().unwrap();
    let folder = Folder::with(example);
    folder.write(
        "issuer.pem",
        "-----BEGIN PUBLIC KEY-----\n\
         MCowBQYDK2VwAyEAnI9RYfWfP3/zJKRW23J+n3tBcC73ZS9pxMFjwJBI1bQ=\n\
         -----END PUBLIC KEY-----\n",
    );
    let list = readme
        .split("```toml\n")
        .find(|block| block.starts_with("[[revoked]]"));
    folder.write("revoked.toml", list.unwrap().split("```").next().unwrap());
    let output = folder.command(&["check"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "issuer-2026 (EdDSA)",
        "dev (HS256)",
        "revocations: 2",
        "of the issuer: https://issuer.example.com\n",
        "static token: ci",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
