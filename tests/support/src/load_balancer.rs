//! nginx and HAProxy as child processes, with the files of `deploy/`.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::authority::Authority;
use crate::binary;
use crate::process::Process;
use crate::redis::free_port;

/// The addresses of the servers in the files.
const SERVERS: [&str; 2] = ["10.0.0.11:8080", "10.0.0.12:8080"];

/// Longest start, on a busy machine too. Catches hangs.
const HANG_LIMIT: Duration = Duration::from_secs(20);

/// Pause between two attempts to connect.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Which load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balancer {
    /// `STREAMGATE_NGINX`, or the one that `cargo xtask setup` fetched.
    Nginx,
    /// `STREAMGATE_HAPROXY`, or the one that `cargo xtask setup` fetched.
    HaProxy,
}

/// A running load balancer before two servers, with TLS, on a free port of loopback.
#[derive(Debug)]
pub struct LoadBalancer {
    _process: Process,
    port: u16,
    _folder: TempDir,
}

impl Balancer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Nginx, Self::HaProxy];

    fn binary(self) -> anyhow::Result<PathBuf> {
        let (variable, name) = match self {
            Self::Nginx => ("STREAMGATE_NGINX", "nginx"),
            Self::HaProxy => ("STREAMGATE_HAPROXY", "haproxy"),
        };
        let fetched = format!("tools/{name}/usr/sbin/{name}");
        let default = binary::target_folder().join(fetched);
        binary::find(variable, &default, "cargo xtask setup")
    }

    /// Returns the file of `deploy/` with addresses, certificate and folder replaced.
    fn configuration(self, servers: [&str; 2], port: u16, folder: &Path) -> anyhow::Result<String> {
        let (file, listen, local) = match self {
            Self::Nginx => (
                "nginx.conf",
                "listen 443",
                format!("listen 127.0.0.1:{port}"),
            ),
            Self::HaProxy => ("haproxy.cfg", "bind :443", format!("bind 127.0.0.1:{port}")),
        };
        let path = binary::workspace().join("deploy").join(file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let folder = folder.display().to_string();
        let mut replacements = vec![
            (SERVERS[0], servers[0].to_owned()),
            (SERVERS[1], servers[1].to_owned()),
            (listen, local),
            ("/etc/streamgate", folder.clone()),
        ];
        if self == Self::Nginx {
            // Debian's own folders may not exist.
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let paths = temporary.map(|name| format!("{name}_temp_path {folder}/{name};"));
            replacements.push((
                "http {",
                format!("http {{ access_log off; {}", paths.join(" ")),
            ));
        }
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        for (from, to) in replacements {
            let mut found = false;
            for line in &mut lines {
                if !line.trim_start().starts_with('#') && line.contains(from) {
                    *line = line.replace(from, &to);
                    found = true;
                }
            }
            ensure!(found, "{} has no '{from}'", path.display());
        }
        Ok(lines.join("\n") + "\n")
    }
}

impl LoadBalancer {
    /// Starts one before two servers, given as `HOST:PORT`, with a certificate for 127.0.0.1.
    ///
    /// # Errors
    ///
    /// The program is missing, or does not listen in time. Its standard error is inherited.
    pub fn start(
        balancer: Balancer,
        servers: [&str; 2],
        authority: &Authority,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("streamgate-balancer-")
            .tempdir()?;
        let identity = authority.issue(&["127.0.0.1"])?;
        let pem = [&*identity.certificate, &*identity.key].concat();
        for (name, pem) in [
            ("cert.pem", &identity.certificate),
            ("key.pem", &identity.key),
            ("cert-and-key.pem", &pem),
        ] {
            fs::write(folder.path().join(name), pem)?;
        }
        let port = free_port()?;
        let file = folder.path().join("balancer.conf");
        fs::write(&file, balancer.configuration(servers, port, folder.path())?)?;
        let mut command = Command::new(balancer.binary()?);
        match balancer {
            Balancer::Nginx => {
                let pid = folder.path().join("nginx.pid");
                // One process: a killed master would leave its workers.
                let log = "daemon off; master_process off; error_log stderr; pid";
                command.arg("-g").arg(format!("{log} {};", pid.display()));
                command.arg("-p").arg(folder.path()).arg("-c").arg(&file)
            }
            Balancer::HaProxy => command.arg("-db").arg("-f").arg(&file),
        };
        let process = Process::spawn(&mut command)?;
        let deadline = Instant::now() + HANG_LIMIT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(Instant::now() < deadline, "{balancer:?} does not listen");
            thread::sleep(LOOK_EVERY);
        }
        Ok(Self {
            _process: process,
            port,
            _folder: folder,
        })
    }

    /// Returns `wss://127.0.0.1:PORT/v1/ws`.
    pub fn ws_url(&self) -> String {
        format!("wss://127.0.0.1:{}/v1/ws", self.port)
    }
}
