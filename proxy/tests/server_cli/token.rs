//! `streamgate token`: mint, inspect, hash.

use std::io::Write;
use std::process::{Output, Stdio};

use streamgate_protocol::ServerMessage;

use crate::running_server::{BlockingClient, RunningServer, error_line, streamgate};
use crate::settings::{Folder, WITH_TOKENS};

/// Returns a token that the folder's settings accept.
pub(crate) fn mint(folder: &Folder, subject: &str, role: &str) -> String {
    let arguments = [
        "token",
        "mint",
        "--subject",
        subject,
        "--role",
        role,
        "--life",
        "1h",
    ];
    let output = folder.command(&arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let token = String::from_utf8(output.stdout).unwrap();
    token.strip_suffix('\n').unwrap().to_owned()
}

fn with_input(arguments: &[&str], input: &str) -> Output {
    let mut command = streamgate(arguments);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[test]
fn a_minted_token_opens_a_socket_with_its_role_alone() {
    let folder = Folder::with(WITH_TOKENS);
    let server = RunningServer::start(folder.command(&["serve"]));
    for (role, expected) in [("writer", None), ("reader", Some("NOPERM"))] {
        let token = mint(&folder, "ann", role);
        let mut client = BlockingClient::connect_with(server.address, Some(&token));
        let ServerMessage::Welcome(welcome) = client.receive() else {
            panic!("no welcome");
        };
        assert_eq!(welcome.identity.unwrap().subject, "ann");
        let code = client.add(1).err().map(|(code, _)| code);
        assert_eq!(code.as_deref(), expected);
    }
    let mut stranger = BlockingClient::connect(server.address);
    assert_eq!(stranger.close_code(), 4401);
}

#[test]
fn only_what_the_settings_would_accept_is_minted() {
    let folder = Folder::with(WITH_TOKENS);
    for (arguments, part) in [
        (
            ["--role", "writr", "--life", "1h"],
            "did you mean 'writer'?",
        ),
        (["--role", "writer", "--life", "2d"], "max_life_s (86400 s)"),
        (
            ["--role", "writer", "--life", "soon"],
            "write 90s, 30m, 1h or 7d",
        ),
        (
            ["--role", "writer", "--key", "prod"],
            "no key 'prod' for HS256",
        ),
    ] {
        let mut command = folder.command(&["token", "mint", "--subject", "ann"]);
        command.args(arguments);
        let line = error_line(command, 2);
        assert!(line.contains(part), "{part:?} in {line}");
    }
    let open = Folder::with("");
    let arguments = ["token", "mint", "--subject", "a", "--role", "b"];
    assert!(error_line(open.command(&arguments), 2).contains("no [auth]"));
}

#[test]
fn inspect_shows_claims_and_the_verdict_without_the_signature() {
    let folder = Folder::with(WITH_TOKENS);
    let token = mint(&folder, "ann", "writer");
    let signature = token.rsplit('.').next().unwrap();
    let accepted = folder
        .command(&["token", "inspect", &token])
        .output()
        .unwrap();
    assert!(accepted.status.success(), "{accepted:?}");
    let text = String::from_utf8(accepted.stdout).unwrap();
    for part in [
        "\"sub\": \"ann\"",
        "\"kid\": \"dev\"",
        "accepted: the subject is 'ann'",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains(signature), "{text}");

    let (signed, _) = token.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", "A".repeat(43));
    let refused = folder
        .command(&["token", "inspect", &forged])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("refused: token_signature"), "{why}");

    folder.write(
        "revoked.toml",
        "[[revoked]]\nall = true\nbefore = 2100-01-01T00:00:00Z",
    );
    let refused = folder
        .command(&["token", "inspect", &token])
        .output()
        .unwrap();
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("refused: token_revoked"), "{why}");

    let alone = with_input(&["token", "inspect", "-"], &token);
    assert!(alone.status.success(), "{alone:?}");
    let no_token = error_line(streamgate(&["token", "inspect", "hunter2"]), 2);
    assert!(!no_token.contains("hunter2"), "{no_token}");
}

#[test]
fn a_static_token_is_accepted_by_the_hash_that_is_printed() {
    let token = "x".repeat(43);
    let output = with_input(&["token", "hash"], &format!("{token}\n"));
    assert!(output.status.success(), "{output:?}");
    let hash = String::from_utf8(output.stdout).unwrap();
    let machine = format!(
        "[[auth.static_tokens]]\nsubject = 'ci'\nroles = ['writer']\nsha256 = '{}'\n",
        hash.trim()
    );
    let folder = Folder::with(&format!("{WITH_TOKENS}{machine}"));
    let output = folder
        .command(&["token", "inspect", &token])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "accepted: the subject is 'ci'\n");
    let short = with_input(&["token", "hash"], "hunter2");
    assert_eq!(short.status.code(), Some(2));
    assert!(!String::from_utf8(short.stderr).unwrap().contains("hunter2"));
    assert_eq!(with_input(&["token", "hash"], "").status.code(), Some(2));
}
