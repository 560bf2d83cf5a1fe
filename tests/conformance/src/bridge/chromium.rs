//! The npm package in a page of a real Chromium.

use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;

use super::bundle::{bundle, scripts};
use super::control::Control;
use super::process::{ProcessGroup, chromium};
use super::script_client::ScriptClient;

/// Longest time from the start of the browser to a connected client. Only a hang takes as long.
const START_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// No window, no sandbox (root in a container has none), no background traffic, no dialogs.
const FLAGS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--enable-logging=stderr",
];

/// A browser with one page. It ends when this is dropped.
#[derive(Debug)]
pub struct Chromium {
    // Dropped in this order: the browser before what it uses.
    _browser: ProcessGroup,
    _control: Control,
    _folder: TempDir,
}

impl Chromium {
    /// Starts the browser on a page that connects to the proxy.
    ///
    /// # Errors
    ///
    /// Chromium or the package is missing (the message says how to install it), or fails to start.
    pub async fn start(proxy: &str) -> anyhow::Result<(ScriptClient, Self)> {
        let binary = chromium()?;
        let folder = tempfile::Builder::new()
            .prefix("streamgate-chromium-")
            .tempdir()?;
        let (www, profile) = (folder.path().join("www"), folder.path().join("profile"));
        bundle("page.mjs", "browser", &www).await?;
        std::fs::copy(scripts().join("page.html"), www.join("page.html"))?;
        let mut control = Control::start(&www).await?;
        let mut command = Command::new(binary);
        command.args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.display()));
        command.arg(control.page("page.html", proxy));
        let browser = ProcessGroup::spawn(&mut command, folder.path())?;
        let client = tokio::time::timeout(START_TIMEOUT, control.ready())
            .await
            .with_context(|| {
                format!(
                    "the page did not connect; Chromium printed:\n{}",
                    browser.output()
                )
            })??;
        Ok((
            client,
            Self {
                _browser: browser,
                _control: control,
                _folder: folder,
            },
        ))
    }
}
