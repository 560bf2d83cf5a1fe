//! The settings file: what it may say, and how its errors read.

use std::fs;
use std::path::{Path, PathBuf};

use streamgate::RevokedTokens;

use super::*;

const SECRET: &str = "a secret of at least thirty-two bytes";

/// A folder with a settings file, and with a secret beside it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
        let private = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";
        fs::write(folder.path().join("private.pem"), private).unwrap();
        fs::write(folder.file(), text).unwrap();
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self) -> PathBuf {
        self.path().join("streamgate.toml")
    }

    fn load(&self) -> Result<Settings, String> {
        Settings::load(&self.file(), &mut Inputs::default()).map_err(|error| error.to_string())
    }
}

fn load(text: &str) -> Result<Settings, String> {
    Folder::with(text).load()
}

const ACCESS: &str = r#"
    [auth]
    audience = "streamgate"
    anonymous = "reader"
    [[auth.keys]]
    id = "dev"
    algorithm = "HS256"
    secret_file = "secret"
    [roles.reader]
    rights = [{ allow = ["read"], streams = ["public.*"] }]
    [roles.tenant]
    prefix = "tenant:{org}:"
    rights = [
        { allow = ["add"], streams = ["jobs"], maxlen = 1000 },
        { allow = ["add"], streams = ["logs"], prefix = "own:" },
    ]
"#;

#[test]
fn auth_and_roles_become_a_policy() {
    let access = load(ACCESS).unwrap().access.unwrap();
    access.policy.validate().unwrap();
    assert_eq!(access.audience.as_deref(), Some("streamgate"));
    assert_eq!(access.anonymous.as_deref(), Some("reader"));
    assert_eq!(access.secrets[0].1.as_bytes(), SECRET.as_bytes());
    let prefixes = access.roles["tenant"]
        .rules()
        .map(|rule| rule.prefix.as_deref());
    assert_eq!(
        prefixes.collect::<Vec<_>>(),
        [Some("tenant:{org}:"), Some("own:")]
    );
    let refused = access.policy.check_token("x", &RevokedTokens::default());
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .starts_with("token_malformed")
    );
}

#[test]
fn an_error_names_the_file_and_the_line() {
    for (text, line, part) in [
        (
            "\nlissten = 'x'",
            2,
            "unknown key 'lissten'; did you mean 'listen'?",
        ),
        ("max-sockets = 1", 1, "did you mean 'max_sockets'?"),
        ("config = 'x'", 1, "unknown key 'config'"),
        (
            "\n\nmax_sockets = 0",
            3,
            "invalid max_sockets: 0 is not in 1..=16777216",
        ),
        ("max_sockets = 1.5", 1, "it must be a text or a number"),
        ("insecure = 1", 1, "it must be true or false"),
        ("trusted_proxy = ['10.0.0.1', 'x']", 1, "such as 10.0.0.0/8"),
        (
            "redis = 'redis://h'\nmemory_bytes = 1",
            2,
            "exclude each other",
        ),
        ("listen = ", 1, ""),
        ("[atuh]\n", 1, "did you mean 'auth'?"),
        ("[roles.r]\nrights = []", 1, "add [auth]"),
        (
            "[auth]\naudiense = 'x'",
            2,
            "unknown key 'audiense'; did you mean 'audience'?",
        ),
        (
            "[auth]\nanonymous = 'r'",
            2,
            "unknown role 'r'; add [roles.r]",
        ),
        (
            "[auth]\nanonymous = 'raeder'\n[roles.reader]\nrights = []",
            2,
            "did you mean 'reader'?",
        ),
        ("[auth]\nleeway_s = 301", 2, "invalid leeway_s 301"),
        (
            "[auth]\nleeway_s = '1h'",
            2,
            "invalid leeway_s: it must be a whole number",
        ),
        (
            "max_memory = '1 GB'",
            1,
            "invalid max_memory: it must be a whole number",
        ),
        (
            "[auth]\n[auth.keys]\nalgorithm = 'x'",
            2,
            "invalid keys: it must be a list",
        ),
        (
            "[auth]\njwks = 'https://issuer'",
            2,
            "invalid jwks: it must be a section",
        ),
        (
            "[auth]\n[roles.r]\nrights = [\n{ allow = 'read', streams = ['a'] }]",
            4,
            "invalid allow: it must be a list",
        ),
        ("[auth]\nmax_life_s = 0", 2, "invalid max_life_s 0"),
        ("[auth]\n[[auth.keys]]\nid = 'k'", 2, "algorithm"),
        (
            "[auth]\n[[auth.keys]]\nalgorithm = 'none'",
            2,
            "unknown algorithm 'none'",
        ),
        (
            "[auth]\n[[auth.keys]]\nalgorithm = 'HS256'\nfile = 'x'",
            2,
            "`secret_file`",
        ),
        (
            "[auth]\n[[auth.keys]]\nalgorithm = 'EdDSA'\nsecret_file = 'secret'",
            2,
            "`file`",
        ),
        (
            "[auth]\n[[auth.keys]]\nalgorithm = 'EdDSA'\nfile = 'secret'",
            2,
            "no public key",
        ),
        (
            "[auth]\n[[auth.keys]]\nalgorithm = 'EdDSA'\nfile = 'private.pem'",
            2,
            "it is a private key",
        ),
        ("[auth]\njwks.file = 'secret'", 2, "no JSON Web Key Set"),
        ("[auth]\njwks.fiel = 'x'", 2, "did you mean 'file'?"),
        (
            "[auth]\njwks.url = 'http://issuer/keys'",
            2,
            "must begin with https://",
        ),
        (
            "[auth]\njwks.ca_file = 'secret'",
            2,
            "needs `file`, or `url`",
        ),
        (
            "[auth]\n[auth.jwks]\nurl = 'https://issuer'\nca_file = 'secret'",
            2,
            "no certificate in PEM",
        ),
        (
            "[auth]\n[roles.r]\nrights = [{ allow = ['write'], streams = [] }]",
            3,
            "'write'",
        ),
        (
            "[auth]\n[roles.r]\nrights = [\n{ allow = ['read'], streams = ['a*b'] }]",
            4,
            "'a*b'",
        ),
        (
            "[auth]\n[roles.r]\nrights = []\nprefx = 'a'",
            4,
            "did you mean 'prefix'?",
        ),
        ("[auth]\n[roles.'a b']\nrights = []", 2, "no space"),
        (
            "[auth]\n[[auth.static_tokens]]\nsubject = 'ci'\nroles = []\nsha256 = 'ab'",
            2,
            "64 hexadecimal digits",
        ),
    ] {
        let error = load(text).unwrap_err();
        assert!(
            error.contains(&format!("streamgate.toml:{line}: ")),
            "{text}: {error}"
        );
        assert!(error.contains(part), "{part:?} in {error}");
    }
}

#[test]
fn an_auth_section_that_admits_nobody_or_any_audience_is_refused() {
    assert!(load("[auth]").unwrap_err().contains("admits nobody"));
    let key = "[auth]\n[[auth.keys]]\nalgorithm = 'HS256'\nsecret_file = 'secret'";
    assert!(load(key).unwrap_err().contains("no `audience`"));
}

#[test]
fn a_file_that_is_named_and_absent_is_named_in_the_error() {
    for text in [
        "[auth]\njwks.file = 'absent'",
        "[auth]\n[[auth.keys]]\nalgorithm = 'HS256'\nsecret_file = 'absent'",
    ] {
        let folder = Folder::with(text);
        let error = folder.load().unwrap_err();
        let path = folder.path().join("absent");
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(error.contains("streamgate.toml:2: "), "{error}");
    }
}

#[test]
fn no_error_and_no_debug_shows_a_secret() {
    for text in [
        "[auth]\n[[auth.keys]]\nalgorithm = 'HS256'\nsecret = 'hunter2'",
        "[auth]\nkeys = 'hunter2'",
        "[auth]\nleeway_s = 'hunter2'",
        "[auth]\n[[auth.static_tokens]]\nsubject = 'ci'\nroles = []\ntoken = 'hunter2'",
        "[auth]\n[[auth.static_tokens]]\nsubject = 'ci'\nroles = []\nsha256 = 'hunter2'",
        "[auth]\n[[auth.keys]]\nalgorithm = 'HS256'\nsecret_env = 'hunter2'",
        "max_sockets = 'redis://:hunter2@h' 1",
        "redis = ['hunter2']",
        "[auth]\nkeys = [{ secret = 'hunter2', }",
    ] {
        let error = load(text).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
    let literal = "[auth]\n[[auth.keys]]\nalgorithm = 'HS256'\nsecret = 'x'";
    assert!(load(literal).unwrap_err().contains("secret_file"));
    let text = format!("redis = 'redis://:hunter2@h'\n{ACCESS}");
    let debug = format!("{:?}", load(&text).unwrap());
    for secret in ["hunter2", SECRET, &format!("{:?}", SECRET.as_bytes())] {
        assert!(!debug.contains(secret), "{debug}");
    }
}

#[test]
fn paths_begin_at_the_file() {
    let folder = Folder::with("www = 'pages'\nlisten = 'localhost:1'");
    let flags = folder.load().unwrap().flags;
    let command = with_defaults(crate::cli::args::serve_command(), &flags, &|_| false);
    // The environment of the tests names the page's folder too.
    let command = command.mut_args(|arg| arg.env(clap::builder::Resettable::Reset));
    let matches = command.try_get_matches_from(["serve"]).unwrap();
    let www = matches.get_one::<PathBuf>("www").unwrap();
    assert_eq!(*www, folder.path().join("pages"));
    assert_eq!(matches.get_one::<String>("listen").unwrap(), "localhost:1");
}

#[test]
fn a_flag_overrides_the_file_and_whatever_excludes_it() {
    let flags = load("redis = 'redis://h'\nmax_sockets = 1_000\ninsecure = true")
        .unwrap()
        .flags;
    let parse = |arguments: &[&str], is_given: &dyn Fn(&str) -> bool| {
        let command = with_defaults(crate::cli::args::serve_command(), &flags, is_given);
        let command = command.mut_args(|arg| arg.env(clap::builder::Resettable::Reset));
        let arguments = ["serve"].iter().chain(arguments);
        command.try_get_matches_from(arguments).unwrap()
    };
    let matches = parse(&[], &|_| false);
    assert_eq!(matches.get_one::<u32>("max_sockets"), Some(&1_000));
    assert!(matches.get_flag("insecure"));
    assert!(matches.contains_id("redis"));
    let matches = parse(&["--max-sockets", "7"], &|_| false);
    assert_eq!(matches.get_one::<u32>("max_sockets"), Some(&7));
    let matches = parse(&["--memory-bytes", "1"], &|name| name == "memory_bytes");
    assert!(!matches.contains_id("redis"));
}

#[test]
fn limits_have_defaults_and_nothing_unknown() {
    assert_eq!(load("").unwrap().limits, None);
    assert_eq!(load("[limits]").unwrap().limits, Some(Limits::default()));
    let some = "[limits]\nper_subject = { sockets = 7 }\n[limits.per_socket]\nbytes_per_s = 9";
    let limits = load(some).unwrap().limits.unwrap();
    let defaults = Limits::default();
    assert_eq!(
        (limits.per_subject.sockets, limits.per_socket.bytes_per_s),
        (7, 9)
    );
    assert_eq!(
        limits.per_subject.requests_per_s,
        defaults.per_subject.requests_per_s
    );
    assert_eq!(limits.per_address, defaults.per_address);
    for (text, part) in [
        (
            "[limits]\nper_user = {}",
            "streamgate.toml:2: unknown key 'per_user'",
        ),
        (
            "[limits]\nper_subject = { socket = 1 }",
            "streamgate.toml:2: unknown key 'socket'; did you mean 'sockets'?",
        ),
        (
            "[limits]\nper_socket = { requests_per_s = -1 }",
            "streamgate.toml:2: ",
        ),
        ("limits = 3", "streamgate.toml:1: "),
    ] {
        let error = load(text).map(|_| ()).unwrap_err();
        assert!(error.contains(part), "{part:?} in {error}");
    }
}

#[test]
fn a_revocation_section_names_a_file_or_a_key_of_the_server() {
    let with = |section: &str| {
        let text = format!("[auth]\nanonymous = 'r'\n[auth.revocation]\n{section}\n");
        load(&format!("{text}[roles.r]\nrights = []\n"))
    };
    let settings = with("redis_key = 'streamgate:revoked'").unwrap();
    let access = settings.access.unwrap();
    assert_eq!(access.revoked_key.as_deref(), Some("streamgate:revoked"));
    assert!(access.revoked.is_none());
    for (section, part) in [
        ("", "needs `file` or `redis_key`"),
        ("redis_key = 'revoked'", "must begin with 'streamgate:'"),
        ("rediskey = 'a'", "did you mean 'redis_key'?"),
    ] {
        let error = with(section).map(|_| ()).unwrap_err();
        assert!(error.contains(part), "{part:?} in {error}");
    }
}
