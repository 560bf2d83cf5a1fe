//! Reads `[auth]`, `[roles]` and the revoked tokens again: when a file changes, and on SIGHUP.
//!
//! A file that is broken changes nothing: the last good one stays in force. The log says so, and so
//! do `/metrics` and `/readyz` of the admin listener.

use std::path::PathBuf;
use std::time::Duration;

use streamgate::{ReloadSource, RevokedTokens, Server};
use tokio::time::MissedTickBehavior;

use super::settings::{FileStamp, FlagSetting, Inputs, RevokedFile, Settings};
use super::signals::HangupSignal;

/// How often the files' modification times are compared.
const INTERVAL: Duration = Duration::from_secs(1);

/// Keeps a server as its files say.
#[derive(Debug)]
pub(super) struct Reloader {
    server: Server,
    path: PathBuf,
    inputs: Inputs,
    /// The values of flags that are in force.
    flags: Vec<FlagSetting>,
    /// Whether the server began with `[auth]`.
    has_access: bool,
    /// The settings that the log named as needing a restart.
    named: Vec<String>,
    revoked: Option<WatchedFile>,
}

/// The list of revoked tokens, as it was before it was read.
#[derive(Debug)]
struct WatchedFile {
    path: PathBuf,
    stamp: FileStamp,
}

impl Reloader {
    /// Puts the list of revoked tokens into force.
    pub(super) fn new(server: Server, settings: Settings, inputs: Inputs) -> Self {
        let has_access = settings.access.is_some();
        let revoked = settings.access.and_then(|access| access.revoked);
        let mut reloader = Self {
            server,
            path: settings.path,
            inputs,
            flags: settings.flags,
            has_access,
            named: Vec::new(),
            revoked: None,
        };
        reloader.set_revoked(revoked);
        reloader
    }

    /// Runs until it is dropped.
    pub(super) async fn run(self, hangup: HangupSignal) {
        watch(self, hangup, Self::poll).await;
    }

    fn poll(&mut self, is_asked: bool) {
        if is_asked || self.inputs.have_changed() {
            self.reload();
        }
        let Some(revoked) = &mut self.revoked else {
            return;
        };
        let stamp = FileStamp::of(&revoked.path);
        if !is_asked && stamp == revoked.stamp {
            return;
        }
        revoked.stamp = stamp;
        match RevokedFile::load(&revoked.path) {
            Ok(file) => {
                let revocations = file.count;
                self.set_revoked(Some(file));
                tracing::info!(revocations, "revoked tokens read again");
            }
            Err(error) => self.report(ReloadSource::RevokedTokens, Some(error.to_string())),
        }
    }

    fn reload(&mut self) {
        let mut inputs = Inputs::default();
        let loaded = Settings::load(&self.path, &mut inputs);
        self.inputs = inputs;
        let settings = match loaded {
            Ok(settings) => settings,
            Err(error) => return self.report(ReloadSource::Settings, Some(error.to_string())),
        };
        self.name_restart_settings(&settings);
        if let Some(access) = settings.access
            && self.has_access
        {
            let roles = access.roles.len();
            // First what is revoked: no token may come back to life in between.
            self.set_revoked(access.revoked);
            if let Err(error) = self.server.set_access(access.policy) {
                let why = error.message().to_owned();
                return self.report(ReloadSource::Settings, Some(why));
            }
            self.report(ReloadSource::Settings, None);
            tracing::info!(file = %self.path.display(), roles, "settings read again");
        } else {
            self.report(ReloadSource::Settings, None);
        }
    }

    fn set_revoked(&mut self, file: Option<RevokedFile>) {
        let (watched, tokens) = match file {
            Some(RevokedFile {
                path,
                stamp,
                tokens,
                ..
            }) => (Some(WatchedFile { path, stamp }), tokens),
            None => (None, RevokedTokens::default()),
        };
        self.revoked = watched;
        self.server.set_revoked_tokens(tokens);
        self.report(ReloadSource::RevokedTokens, None);
    }

    /// Logs which settings have changed that are read at the start alone.
    fn name_restart_settings(&mut self, settings: &Settings) {
        let is_in = |flag: &FlagSetting, flags: &[FlagSetting]| flags.contains(flag);
        let gone = self
            .flags
            .iter()
            .filter(|flag| !is_in(flag, &settings.flags));
        let new = settings
            .flags
            .iter()
            .filter(|flag| !is_in(flag, &self.flags));
        let mut changed: Vec<_> = gone.chain(new).map(|flag| flag.name.clone()).collect();
        if settings.access.is_some() != self.has_access {
            changed.push("[auth]".to_owned());
        }
        changed.sort_unstable();
        changed.dedup();
        if changed != self.named {
            if !changed.is_empty() {
                let settings = changed.join(", ");
                tracing::warn!(settings, "settings have changed that need a restart");
            }
            self.named = changed;
        }
    }

    fn report(&self, source: ReloadSource, error: Option<String>) {
        report(&self.server, source, error);
    }
}

/// Polls a watcher of files each second and on SIGHUP, and tells it which. Runs until it is dropped.
pub(super) async fn watch<W: Send + 'static>(
    mut watcher: W,
    mut hangup: HangupSignal,
    poll: fn(&mut W, bool),
) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_asked = tokio::select! {
            _ = ticks.tick() => false,
            () = hangup.recv() => true,
        };
        // A slow file system must not hold up the sockets.
        let polled = tokio::task::spawn_blocking(move || {
            poll(&mut watcher, is_asked);
            watcher
        });
        match polled.await {
            Ok(polled) => watcher = polled,
            // The runtime ends.
            Err(_) => return,
        }
    }
}

/// Reports whether the last reading failed. Files change rarely, so each failure is one line.
pub(super) fn report(server: &Server, source: ReloadSource, error: Option<String>) {
    server.set_reload_error(source, error.clone());
    if let Some(error) = error {
        tracing::error!(%source, %error, "the last good file stays in force");
    }
}
