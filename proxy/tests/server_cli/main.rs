//! The command `streamgate`: how it starts, ends, and fails.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

mod redis_tls;
mod revoked_key;
mod running_server;
mod settings;
mod tls;
mod token;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Instant;

use streamgate_protocol::message::Hello;
use streamgate_protocol::{ClientMessage, ServerMessage};
use streamgate_test_support::{RedisServer, RedisVersion};

use crate::running_server::{BlockingClient, Log, RunningServer, error_line, get_from, streamgate};

#[test]
fn the_server_outlives_its_redis_and_reports_it() {
    for version in RedisVersion::ALL {
        let mut redis = RedisServer::start(version).unwrap();
        let args = ["serve", "--listen", "127.0.0.1:0", "--redis", &redis.url()];
        let server = RunningServer::start(streamgate(&args));
        let ready = || {
            let response = server.get("/readyz");
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            (head[9..12].to_owned(), body.to_owned())
        };
        let is_ready = ("200".to_owned(), "ready".to_owned());
        let mut client = BlockingClient::connect(server.address);
        assert!(matches!(client.receive(), ServerMessage::Welcome(_)));
        client.add(1).unwrap();
        assert_eq!(ready(), is_ready);

        redis.kill().unwrap();
        assert_eq!(client.next_backend_code().as_deref(), Some("DISCONNECTED"));
        let is_unavailable = "backend unavailable: DISCONNECTED".to_owned();
        assert_eq!(ready(), ("503".to_owned(), is_unavailable));
        let refused = ("DISCONNECTED".to_owned(), "later".to_owned());
        assert_eq!(client.add(2), Err(refused));
        assert!(server.get("/healthz").ends_with("\r\n\r\nok"));

        redis.restart().unwrap();
        assert_eq!(client.next_backend_code(), None);
        assert_eq!(ready(), is_ready);
        client.add(3).unwrap();
    }
}

/// After a restart of both, Redis may have much to load.
#[test]
fn the_server_waits_for_a_redis_that_loads() {
    // After each key it handles requests, and then sleeps for 20 ms.
    let slow = [
        "--key-load-delay",
        "20000",
        "--loading-process-events-interval-bytes",
        "1024",
    ];
    let mut redis = RedisServer::start_with(RedisVersion::V7_0, &slow).unwrap();
    let mut direct = TcpStream::connect((Ipv4Addr::LOCALHOST, redis.port())).unwrap();
    for key in 0..100 {
        let set = format!("SET key-{key} {}\r\n", "x".repeat(2_000));
        direct.write_all(set.as_bytes()).unwrap();
    }
    direct.write_all(b"SAVE\r\n").unwrap();
    let mut answers = BufReader::new(direct).lines();
    for answer in answers.by_ref().take(101) {
        assert_eq!(answer.unwrap(), "+OK");
    }
    redis.restart_loading().unwrap();
    let args = ["serve", "--listen", "127.0.0.1:0", "--redis", &redis.url()];
    let mut server = RunningServer::start(streamgate(&args));
    assert!(server.get("/healthz").ends_with("\r\n\r\nok"));
    let mut log = Log::of(&mut server);
    let waiting = log.until("waiting for Redis");
    assert!(waiting.contains("LOADING"), "{waiting}");
    log.until("connected to Redis");
    assert_serves(&server);
}

#[test]
fn the_server_can_start_before_its_redis() {
    let mut redis = RedisServer::start(RedisVersion::V7_0).unwrap();
    redis.kill().unwrap();
    let url = redis.url().replace("://", "://default:secret@");
    let args = ["serve", "--listen", "127.0.0.1:0", "--redis", &url];
    let mut server = RunningServer::start(streamgate(&args));
    assert!(server.get("/healthz").ends_with("\r\n\r\nok"));
    let response = server.get("/readyz");
    assert!(
        response.ends_with("backend unavailable: DISCONNECTED"),
        "{response}"
    );
    let mut log = Log::of(&mut server);
    let waiting = log.until("waiting for Redis");
    assert!(!waiting.contains("secret"), "{waiting}");
    redis.restart().unwrap();
    log.until("connected to Redis");
    assert_serves(&server);
}

fn assert_serves(server: &RunningServer) {
    let mut client = BlockingClient::connect(server.address);
    assert!(matches!(client.receive(), ServerMessage::Welcome(_)));
    client.add(1).unwrap();
    assert!(server.get("/readyz").ends_with("\r\n\r\nready"));
}

#[test]
fn what_redis_refuses_is_named_once_with_its_cost_and_its_remedy() {
    let user = "--user default on nopass ~s &* +@all -evalsha -client|tracking -xinfo -eval -info";
    let config: Vec<_> = user.split(' ').collect();
    let redis = RedisServer::start_with(RedisVersion::V7_0, &config).unwrap();
    let args = ["serve", "--listen", "127.0.0.1:0", "--redis", &redis.url()];
    let mut server = RunningServer::start(streamgate(&args));
    let mut client = BlockingClient::connect(server.address);
    assert!(matches!(client.receive(), ServerMessage::Welcome(_)));
    client.add(1).unwrap();
    // A refusal that was logged before is not logged again.
    let mut direct = TcpStream::connect((Ipv4Addr::LOCALHOST, redis.port())).unwrap();
    direct.write_all(b"CLIENT KILL TYPE normal\r\n").unwrap();
    let mut lines = BufReader::new(server.child.stderr.take().unwrap()).lines();
    let mut log = String::new();
    while !log.contains("connected to Redis") {
        log += &(lines.next().unwrap().unwrap() + "\n");
    }
    let mut client = BlockingClient::connect(server.address);
    assert!(matches!(client.receive(), ServerMessage::Welcome(_)));
    client.add(2).unwrap();
    server.child.kill().unwrap();
    for line in lines {
        log += &(line.unwrap() + "\n");
    }
    for (cost, remedy) in [
        ("exactly-once is off", "~streamgate:once:*"),
        (
            "streams that somebody waits for are polled",
            "+client|tracking",
        ),
        ("whether entries are missing", "+xinfo|stream"),
        ("consumers cannot be removed", "+eval\""),
        ("whether Redis may evict keys", "+info"),
    ] {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(cost)).collect();
        assert_eq!(lines.len(), 1, "{cost}: {log}");
        assert!(lines[0].contains(remedy), "{}", lines[0]);
    }
}

#[test]
fn busy_polling_needs_one_thread() {
    let busy = |threads| streamgate(&["serve", "--busy-poll-us", "50", "--threads", threads]);
    let line = error_line(busy("2"), 2);
    assert!(line.contains("--threads 1"), "{line}");
    let mut command = busy("1");
    command.args(["--listen", "127.0.0.1:0"]);
    assert!(
        RunningServer::start(command)
            .get("/healthz")
            .ends_with("ok")
    );
}

#[test]
fn the_ready_line_names_the_address_and_the_backend() {
    let server = RunningServer::start(streamgate(&["serve", "--listen", "127.0.0.1:0"]));
    assert_eq!(
        server.line,
        format!(
            "streamgate listening on http://{} (memory)\n",
            server.address
        )
    );
    assert_ne!(server.address.port(), 0);
    assert!(server.get("/healthz").ends_with("\r\n\r\nok"));
    // The demo page if it was built, else the default page.
    assert!(server.get("/").contains("<title>streamgate"));
}

#[test]
fn every_flag_may_come_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "from the environment").unwrap();
    let mut command = streamgate(&["serve"]);
    command
        .env("STREAMGATE_LISTEN", "localhost:0")
        .env("STREAMGATE_WWW", folder.path())
        .env("STREAMGATE_INSECURE", "no")
        .env("STREAMGATE_MAX_IN_FLIGHT", "1000");
    let server = RunningServer::start(command);
    assert!(server.get("/").ends_with("from the environment"));

    let mut command = streamgate(&["serve"]);
    command.env("STREAMGATE_MAX_IN_FLIGHT", "1");
    assert!(error_line(command, 2).contains("--max-in-flight"));
}

#[cfg(unix)]
#[test]
fn a_redis_that_may_forget_adds_is_reported_at_the_start() {
    for (policy, warns) in [("noeviction", false), ("volatile-lru", true)] {
        let config = ["--maxmemory-policy", policy];
        let redis = RedisServer::start_with(RedisVersion::V7_0, &config).unwrap();
        let args = ["serve", "--listen", "127.0.0.1:0", "--redis", &redis.url()];
        let mut server = RunningServer::start(streamgate(&args));
        let log = String::from_utf8(server.stop_with("-TERM").stderr).unwrap();
        let warning = log.contains("WARN") && log.contains("maxmemory-policy");
        assert_eq!(warning, warns, "{policy}: {log}");
        assert_eq!(log.contains(policy), warns, "{policy}: {log}");
    }
}

#[cfg(unix)]
#[test]
fn sockets_are_logged_with_peer_encoding_and_close_code() {
    let log = ["--log", "streamgate=debug", "--heartbeat-ms", "100"];
    let mut command = streamgate(&["serve", "--listen", "127.0.0.1:0"]);
    command.args(log);
    let mut server = RunningServer::start(command);
    let mut client = BlockingClient::connect(server.address);
    assert!(matches!(client.receive(), ServerMessage::Welcome(_)));
    client.add(7).unwrap();
    // The client is silent until the server closes its socket.
    assert!(matches!(client.receive(), ServerMessage::Ping { .. }));
    assert!(client.0.read().unwrap().is_close());
    let peer = client.0.get_ref().local_addr().unwrap();
    let log = String::from_utf8(server.stop_with("-TERM").stderr).unwrap();
    for text in [
        format!("socket{{peer={peer} encoding=\"streamgate.v1.json\"}}"),
        "socket accepted".to_owned(),
        "request{id=7 operation=\"add\"}".to_owned(),
        "request answered code=\"ok\"".to_owned(),
        format!("socket closed peer={peer} client=\"client-0\" code=4408"),
    ] {
        assert!(log.contains(&text), "{text} in {log}");
    }
}

/// A flood of events is no flood of lines, and none is lost from the count.
#[cfg(unix)]
#[test]
fn the_lines_of_a_flood_are_bounded_and_counted() {
    const FLOOD: u64 = 300;
    let start = Instant::now();
    let mut server = RunningServer::start(streamgate(&["serve", "--listen", "127.0.0.1:0"]));
    for _ in 0..FLOOD {
        let mut client = BlockingClient::connect(server.address);
        assert!(matches!(client.receive(), ServerMessage::Welcome(_)));
        client.send(&ClientMessage::Hello(Hello::new("client", u32::MAX)));
        assert!(client.0.read().unwrap().is_close());
        server.get("/v1/ws");
    }
    let log = String::from_utf8(server.stop_with("-TERM").stderr).unwrap();
    let seconds = start.elapsed().as_secs();
    for text in ["socket closed", "the WebSocket handshake is invalid"] {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(text)).collect();
        // Ten at once, then one a second; and every ten seconds the number of the others.
        assert!(lines.len() as u64 <= 12 + 2 * seconds, "{text}: {log}");
        let count = |line: &&str| {
            let after = line.split("suppressed=").nth(1);
            after.map_or(0, |n| n.split(' ').next().unwrap().parse::<u64>().unwrap())
        };
        let suppressed: u64 = lines.iter().map(count).sum();
        let shown = lines.iter().filter(|line| line.contains("peer=")).count();
        assert_eq!(suppressed + shown as u64, FLOOD, "{text}: {log}");
    }
}

/// Runs the server in a shell that has limited its open files.
#[cfg(unix)]
fn with_open_files(limit: &str) -> RunningServer {
    let server = streamgate(&["serve", "--listen", "127.0.0.1:0"]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")])
        .arg(server.get_program())
        .args(server.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in server.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    RunningServer::start(shell)
}

#[cfg(unix)]
#[test]
fn the_soft_limit_of_open_files_is_raised() {
    let mut server = with_open_files("-Sn 40");
    let clients: Vec<_> = (0..100)
        .map(|_| BlockingClient::connect(server.address))
        .collect();
    assert!(server.get("/healthz").ends_with("ok"));
    drop(clients);
    let log = String::from_utf8(server.stop_with("-TERM").stderr).unwrap();
    assert!(!log.contains("cannot accept"), "{log}");
}

#[cfg(unix)]
#[test]
fn silent_connections_do_not_use_up_the_open_files() {
    let mut server = with_open_files("-n 128");
    let connections: Vec<_> = (0..300)
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    let mut client = BlockingClient::connect(server.address);
    assert!(matches!(client.receive(), ServerMessage::Welcome(_)));
    client.add(1).unwrap();
    assert!(server.get("/healthz").ends_with("ok"));
    drop(connections);
    let log = String::from_utf8(server.stop_with("-TERM").stderr).unwrap();
    assert!(log.contains("bounds lowered"), "{log}");
    assert!(!log.contains("cannot accept"), "{log}");
}

#[cfg(unix)]
#[test]
fn signals_shut_the_server_down() {
    for signal in ["-TERM", "-INT"] {
        let mut server = RunningServer::start(streamgate(&["serve", "--listen", "127.0.0.1:0"]));
        let output = server.stop_with(signal);
        assert!(output.status.success(), "{signal}: {output:?}");
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(log.lines().count(), 1, "{signal}: {log}");
        assert!(log.contains("shutting down sockets=0"), "{signal}: {log}");
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    let version = streamgate(&["--version"]).output().unwrap();
    assert!(version.status.success());
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        concat!("streamgate ", env!("CARGO_PKG_VERSION"), "\n")
    );
    let help = streamgate(&["serve", "--help"]).output().unwrap();
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).unwrap();
    for text in [
        "Heartbeat interval in ms; clients silent for two intervals are disconnected",
        "[default: 15000]",
        "--listen",
        "--redis",
        "--www",
        "--insecure",
        "STREAMGATE_REDIS",
        "/v1/ws",
    ] {
        assert!(help.contains(text), "{text} in {help}");
    }
}

#[test]
fn help_does_not_show_the_password_in_the_environment() {
    let mut command = streamgate(&["serve", "--help"]);
    command.env("STREAMGATE_REDIS", "redis://:secret@127.0.0.1:1");
    let help = command.output().unwrap();
    assert!(help.status.success());
    assert!(!String::from_utf8(help.stdout).unwrap().contains("secret"));
}

#[test]
fn an_invalid_command_line_is_exit_code_2() {
    let invalid: [(&[&str], &str); 17] = [
        (&[], "no command"),
        (&["serv"], "'serv'"),
        (&["serve", "--lissten", "x"], "'--lissten'"),
        (&["serve", "--listen"], "--listen"),
        (&["serve", "--listen", "8080"], "'8080'"),
        (&["serve", "--max-in-flight", "255"], "255 is not in 256.."),
        (
            &["serve", "--max-frame-bytes", "4194303"],
            "4194303 is not in 4194304..",
        ),
        (&["serve", "--heartbeat-ms", "99"], "99 is not in 100.."),
        (
            &["serve", "--drain-ms", "86400001"],
            "86400001 is not in 0..=86400000",
        ),
        (
            &["serve", "--write-timeout-ms", "18446744073709551615"],
            "18446744073709551615 is not in 1..=86400000",
        ),
        (
            &["serve", "--heartbeat-ms", "4294967295"],
            "4294967295 is not in 100..=86400000",
        ),
        (
            &["serve", "--handshake-timeout-ms", "0"],
            "0 is not in 1..=86400000",
        ),
        (
            &["serve", "--max-sockets", "4294967295"],
            "4294967295 is not in 1..=16777216",
        ),
        (&["serve", "--max-handshakes", "0"], "0 is not in 1..="),
        (&["serve", "--trusted-proxy", "10.0.0.0/40"], "10.0.0.0/8"),
        (&["serve", "--trusted-proxy", "::/0"], "everybody"),
        (&["serve", "--www", "/no/such/folder"], "/no/such/folder"),
    ];
    for (args, part) in invalid {
        let line = error_line(streamgate(args), 2);
        assert!(line.contains(part), "{part:?} in {line}");
    }
    let line = error_line(streamgate(&["serve", "--log", "streamgate=loud"]), 2);
    assert!(line.contains("--log"), "{line}");
}

#[test]
fn the_server_listens_beyond_loopback_only_with_insecure() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let line = error_line(streamgate(&["serve", "--listen", address]), 2);
        assert!(
            line.contains(address) && line.contains("--insecure"),
            "{line}"
        );
    }
    let server = RunningServer::start(streamgate(&[
        "serve",
        "--listen",
        "0.0.0.0:0",
        "--insecure",
    ]));
    assert!(
        server
            .line
            .starts_with("streamgate listening on http://0.0.0.0:")
    );
}

/// Returns the address of the admin listener, which the log names.
fn admin_address(log: &str) -> Option<SocketAddr> {
    let rest = log.split("admin listener on http://").nth(1)?;
    Some(rest.split_whitespace().next()?.parse().unwrap())
}

#[cfg(unix)]
#[test]
fn operators_have_a_listener_of_their_own() {
    let mut command = streamgate(&["serve", "--listen", "127.0.0.1:0"]);
    command.args(["--admin-listen", "127.0.0.1:0"]);
    let mut server = RunningServer::start(command);
    let mut client = BlockingClient::connect(server.address);
    assert!(matches!(client.receive(), ServerMessage::Welcome(_)));
    client.add(1).unwrap();
    // The log names it before the ready line, and its pipe has room for that.
    let mut log = String::new();
    let mut stderr = BufReader::new(server.child.stderr.take().unwrap());
    let admin = loop {
        stderr.read_line(&mut log).unwrap();
        if let Some(address) = admin_address(&log) {
            break address;
        }
    };
    let metrics = get_from(admin, "/metrics");
    let added = "streamgate_requests_total{operation=\"add\",code=\"ok\"} 1";
    assert!(metrics.contains(added), "{metrics}");
    assert!(get_from(admin, "/healthz").ends_with("ok"));
    assert!(get_from(admin, "/readyz").contains("\"ready\":true"));
    // Strangers see none of it.
    assert!(server.get("/metrics").starts_with("HTTP/1.1 404 "));
    server.child.kill().unwrap();
}

#[cfg(unix)]
#[test]
fn the_admin_listener_can_be_elsewhere_or_off() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = ["serve", "--listen", "127.0.0.1:0", "--admin-listen"];
    let mut command = streamgate(&args);
    command.arg(&address);
    let line = error_line(command, 1);
    assert!(line.contains(&address), "{line}");
    assert!(line.contains("--admin-listen"), "{line}");
    let mut command = streamgate(&args);
    command.arg("9464");
    assert!(error_line(command, 2).contains("invalid --admin-listen '9464'"));
    let mut command = streamgate(&args);
    command.arg("off");
    let mut server = RunningServer::start(command);
    let log = String::from_utf8(server.stop_with("-TERM").stderr).unwrap();
    assert_eq!(admin_address(&log), None);
}

#[test]
fn a_port_in_use_is_an_error_with_advice() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = error_line(streamgate(&["serve", "--listen", &address]), 1);
    let expected = format!("streamgate: cannot listen on {address}: address already in use");
    assert!(line.starts_with(&expected), "{line}");
}

#[test]
fn an_address_of_another_machine_is_an_error_that_names_it() {
    let args = ["serve", "--listen", "192.0.2.1:0", "--insecure"];
    let line = error_line(streamgate(&args), 1);
    assert!(line.contains("192.0.2.1:0"), "{line}");
}

#[test]
fn a_server_whose_redis_never_answers_starts_and_shows_no_password() {
    // A port that refuses, and a listener that never answers.
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [closed, silent.local_addr().unwrap()] {
        let url = format!("redis://user:secret@{address}/0");
        let args = ["serve", "--listen", "127.0.0.1:0", "--redis", &url];
        let mut server = RunningServer::start(streamgate(&args));
        assert!(server.get("/readyz").contains("503"));
        assert!(server.line.contains(&format!("redis://{address}")));
        let log = String::from_utf8(server.stop_with("-TERM").stderr).unwrap();
        assert!(log.contains(&address.to_string()), "{log}");
        assert!(!(server.line.clone() + &log).contains("secret"), "{log}");
    }
}

#[test]
fn an_invalid_redis_url_is_an_error_without_its_password() {
    let error_of = |url| {
        let args = ["serve", "--listen", "127.0.0.1:0", "--redis", url];
        error_line(streamgate(&args), 2)
    };
    for url in [
        "http://user:secret@127.0.0.1",
        "user:secret@nowhere",
        "redis://u:secret@h:port",
    ] {
        let line = error_of(url);
        assert!(line.contains("--redis"), "{line}");
        assert!(!line.contains("secret"), "{line}");
    }
    assert_eq!(
        error_of("127.0.0.1:6379"),
        "streamgate: invalid Redis URL '127.0.0.1:6379': missing scheme; \
         try redis://127.0.0.1:6379 (--redis)"
    );
}
