//! The server under attack, its Redis, and what it serves and logs.

use std::fmt;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use streamgate_test_support::{Proxy, RedisServer, RedisVersion, Relay, binary};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::bounds::{BUDGET_MIB, STORE_MIB};
use crate::cores::Cores;

/// Where the streams are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Redis,
    Memory,
}

/// The token of well-behaved clients at a server with tokens.
pub(crate) const TOKEN: &str = "bystander-token-of-the-abuse-test";

/// The settings of a server with tokens, with the SHA-256 of [`TOKEN`].
const SETTINGS: &str = r#"
[auth]
anonymous = "reader"
[[auth.static_tokens]]
subject = "bystander"
sha256 = "4322def586f46e7a210dc358958ccbb0e633da36113dc29c9b841443a12bc470"
roles = ["writer"]
# Even the short form connects more often.
[limits]
per_address = { connections_per_s = 20 }
[roles.reader]
rights = [{ allow = ["read"], streams = ["*"] }]
[roles.writer]
rights = [{ allow = ["read", "add", "trim"], streams = ["*"] }]
"#;

/// How the server is started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerSetup {
    pub(crate) arguments: &'static [&'static str],
    /// The soft limit of open files, and the hard one.
    pub(crate) file_limit: Option<(u32, u32)>,
    /// Whether it serves a folder with files that nobody may have.
    pub(crate) serves_folder: bool,
    /// Whether Redis refuses `CLIENT TRACKING`.
    pub(crate) without_tracking: bool,
    /// Whether the server reaches Redis through a relay.
    pub(crate) through_relay: bool,
    /// Whether clients have tokens. Hostile sockets have none, and may only read.
    pub(crate) with_tokens: bool,
}

impl ServerSetup {
    pub(crate) const DEFAULT: Self = Self {
        arguments: &[],
        file_limit: None,
        serves_folder: false,
        without_tracking: false,
        through_relay: false,
        with_tokens: false,
    };
}

/// The processes, and their folder.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) redis: Option<RedisServer>,
    pub(crate) proxy: Proxy,
    /// Between the server and Redis, if the set-up wants one.
    pub(crate) relay: Option<Relay>,
    folder: TempDir,
}

impl Deployment {
    /// Starts the processes, and on the runtime a relay.
    pub(crate) fn start(
        setup: &ServerSetup,
        store: Store,
        cores: &Cores,
        runtime: &Runtime,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("streamgate-abuse-")
            .tempdir()?;
        let redis = match store {
            Store::Memory => None,
            Store::Redis => Some(cores.on_redis(|| start_redis(setup))??),
        };
        let relay = match &redis {
            Some(redis) if setup.through_relay => {
                let target = SocketAddr::from((Ipv4Addr::LOCALHOST, redis.port()));
                Some(runtime.block_on(Relay::start(target))?)
            }
            _ => None,
        };
        let mut arguments = vec![
            "--max-memory".to_owned(),
            (BUDGET_MIB << 20).to_string(),
            "--log".to_owned(),
            "info".to_owned(),
        ];
        match &redis {
            Some(redis) => {
                let url = relay.as_ref().map_or_else(
                    || redis.url(),
                    |relay| format!("redis://{}", relay.address()),
                );
                arguments.extend(["--redis".to_owned(), url]);
            }
            None => arguments.extend(["--memory-bytes".to_owned(), (STORE_MIB << 20).to_string()]),
        }
        if setup.serves_folder {
            let www = folder.path().join("www");
            fill_www(&www, folder.path())?;
            arguments.extend(["--www".to_owned(), www.display().to_string()]);
        }
        if setup.with_tokens {
            let settings = folder.path().join("streamgate.toml");
            fs::write(&settings, SETTINGS)?;
            arguments.extend(["--config".to_owned(), settings.display().to_string()]);
        }
        arguments.extend(setup.arguments.iter().map(|&argument| argument.to_owned()));
        let mut command = command(setup)?;
        command.stderr(File::create(log(folder.path()))?);
        let proxy = cores
            .on_server(|| Proxy::start_command(&mut command, arguments))?
            .with_context(|| fs::read_to_string(log(folder.path())).unwrap_or_default())?;
        Ok(Self {
            redis,
            proxy,
            relay,
            folder,
        })
    }

    /// Returns the address of the server.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        let url = self.proxy.http_url();
        let address = url.trim_start_matches("http://");
        address
            .parse()
            .with_context(|| format!("the server has an invalid address {url}"))
    }

    /// Returns the path of the server's log.
    pub(crate) fn log(&self) -> PathBuf {
        log(self.folder.path())
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Redis => "Redis",
            Self::Memory => "memory",
        })
    }
}

fn log(folder: &Path) -> PathBuf {
    folder.join("server.log")
}

fn start_redis(setup: &ServerSetup) -> anyhow::Result<RedisServer> {
    /// A user that may do all but what the hub needs.
    const NO_TRACKING: [&str; 8] = [
        "--user",
        "default",
        "on",
        "nopass",
        "~*",
        "&*",
        "+@all",
        "-client|tracking",
    ];
    let config: &[&str] = if setup.without_tracking {
        &NO_TRACKING
    } else {
        &[]
    };
    RedisServer::start_with(RedisVersion::V7_0, config)
}

/// Returns the command, under the limits of the set-up.
fn command(setup: &ServerSetup) -> anyhow::Result<Command> {
    let binary = binary::streamgate()?;
    let Some((soft, hard)) = setup.file_limit else {
        return Ok(Command::new(binary));
    };
    // The soft limit first: it may not be above the hard one.
    let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(binary);
    Ok(command)
}

/// Fills a folder with a page and with what must not be served.
fn fill_www(www: &Path, outside: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(www.join(".git"))?;
    fs::write(www.join("index.html"), "page")?;
    fs::write(www.join(".env"), "secret")?;
    fs::write(www.join(".git/config"), "secret")?;
    let secret = outside.join("secret.txt");
    fs::write(&secret, "secret")?;
    symlink(&secret, www.join("link.txt"))?;
    let status = Command::new("mkfifo").arg(www.join("pipe")).status()?;
    ensure!(status.success(), "mkfifo failed: {status}");
    Ok(())
}
