//! Revocations that a hash of Redis lists, for all servers of that Redis.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use streamgate_protocol::ServerMessage;
use streamgate_test_support::{RedisServer, RedisVersion};

use crate::running_server::{BlockingClient, RunningServer, error_line, get_from};
use crate::settings::{Folder, WITH_TOKENS};
use crate::token::mint;

/// After every token's issue.
const LATER: u64 = 4_000_000_000;

fn folder_for(redis_url: &str) -> Folder {
    let key = "redis_key = 'streamgate:revoked'";
    let settings = WITH_TOKENS
        .replace("file = \"revoked.toml\"", key)
        .replace("[auth]\n", "[auth]\nissuer = 'https://issuer:1'\n");
    Folder::with(&format!("redis = '{redis_url}'\n{settings}"))
}

/// Sends a command as a line, and returns the first line of the answer.
fn command(redis: &RedisServer, line: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert!(answer.starts_with(':'), "{line}: {answer}");
    answer
}

fn connect(server: &RunningServer, token: &str) -> BlockingClient {
    let mut client = BlockingClient::connect_with(server.address, Some(token));
    assert!(matches!(client.receive(), ServerMessage::Welcome(_)));
    client
}

fn is_refused(server: &RunningServer, token: &str) -> bool {
    BlockingClient::connect_with(server.address, Some(token)).close_code() == 4401
}

#[test]
fn a_revocation_in_redis_holds_on_all_servers() {
    for version in RedisVersion::ALL {
        let mut redis = RedisServer::start(version).unwrap();
        let folder = folder_for(&redis.url());
        let [ann, bob, cat] = ["ann", "bob", "cat"].map(|name| mint(&folder, name, "writer"));
        command(&redis, &format!("HSET streamgate:revoked sub:cat {LATER}"));
        let mut servers = [folder.start(), folder.start()];
        let mut sockets = Vec::new();
        for (server, ..) in &servers {
            assert!(is_refused(server, &cat), "from the first client on");
            sockets.push((connect(server, &ann), connect(server, &bob)));
        }

        let ann_of_issuer = r#"'{"iss":"https://issuer:1","sub":"ann"}'"#;
        let bob_of_other = r#"'{"iss":"https://other:1","sub":"bob"}'"#;
        let fields = format!("{ann_of_issuer} {LATER} {bob_of_other} {LATER}");
        command(&redis, &format!("HSET streamgate:revoked {fields}"));
        for ((server, log, _), (of_ann, of_bob)) in servers.iter_mut().zip(&mut sockets) {
            assert_eq!(of_ann.close_code(), 4401);
            of_bob.add(1).unwrap();
            assert!(is_refused(server, &ann));
            log.until("revocations=3");
        }
        let fields = format!("{ann_of_issuer} {bob_of_other}");
        command(&redis, &format!("HDEL streamgate:revoked {fields}"));
        for (server, log, _) in &mut servers {
            log.until("revocations=1");
            connect(server, &ann).add(1).unwrap();
        }

        // What is invalid does not hold up the others.
        let fields = format!("user:ann 1 sub:bob {LATER}");
        command(&redis, &format!("HSET streamgate:revoked {fields}"));
        for ((_, log, admin), (_, of_bob)) in servers.iter_mut().zip(&mut sockets) {
            assert_eq!(of_bob.close_code(), 4401);
            let line = log.until("its valid fields are in force");
            assert!(line.contains("'user:ann'"), "{line}");
            let ready = get_from(*admin, "/readyz");
            assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
            assert!(ready.contains("\"revoked_key\":\"1 fields"), "{ready}");
            let failed = "streamgate_reload_failed{source=\"revoked_key\"} 1";
            assert!(get_from(*admin, "/metrics").contains(failed));
        }
        command(&redis, "HDEL streamgate:revoked user:ann");
        for (_, log, admin) in &mut servers {
            log.until("revoked tokens of Redis are read again");
            let ready = get_from(*admin, "/readyz");
            assert!(ready.contains("\"reload_errors\":{}"), "{ready}");
        }

        // Beyond the bound, and without Redis, the last good list stays in force.
        let script = "\"for i=1,10001 do redis.call('HSET',KEYS[1],'jti:'..i,1) end return 1\"";
        command(&redis, &format!("EVAL {script} 1 streamgate:revoked"));
        for (server, log, _) in &mut servers {
            // A busy Redis may be too slow for a read before.
            let line = log.until("more than 10000 fields");
            assert!(line.contains("the last good list stays in force"), "{line}");
            assert!(is_refused(server, &bob));
        }
        redis.kill().unwrap();
        for (server, log, _) in &mut servers {
            let line = log.until("the last good list stays in force");
            assert!(line.contains("cannot read the Redis hash"), "{line}");
            assert!(is_refused(server, &bob));
        }
    }
}

#[test]
fn a_server_does_not_start_without_the_list() {
    let version = RedisVersion::ALL[0];
    let user = "--user app on nopass ~* resetchannels +@all -hscan";
    let words: Vec<_> = user.split(' ').collect();
    let redis = RedisServer::start_with(version, &words).unwrap();
    let url = format!("redis://app:any@127.0.0.1:{}", redis.port());
    let line = error_line(folder_for(&url).command(&["serve"]), 1);
    for part in ["'streamgate:revoked'", "NOPERM", "SECURITY.md"] {
        assert!(line.contains(part), "{line}");
    }
    let without = folder_for("");
    without.write("streamgate.toml", &without_redis(&without));
    for command in ["serve", "check"] {
        let line = error_line(without.command(&[command]), 2);
        assert!(line.contains("redis_key needs a Redis"), "{line}");
    }
}

fn without_redis(folder: &Folder) -> String {
    let text = std::fs::read_to_string(folder.file()).unwrap();
    text.replace("redis = ''\n", "")
}
