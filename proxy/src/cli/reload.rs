//! Reads `[auth]`, `[roles]`, the revoked tokens, and which pages and names the server accepts again:
//! when a file changes, and on SIGHUP.
//!
//! A file that is broken changes nothing: the last good one stays in force. The log says so, and so
//! do `/metrics` and `/readyz` of the admin listener. A file that is being written may be valid and
//! lack its end: so a revocation that is gone counts until the files have been the same for a while.

use std::path::PathBuf;
use std::time::Duration;

use streamgate::{ReloadSource, RevokedTokens, Server};
use tokio::time::MissedTickBehavior;

use super::args::RELOADED;
use super::command_line::parse_again;
use super::revocations::Revocations;
use super::settings::{FileStamp, FlagSetting, Inputs, RevokedFile, Settings};
use super::signals::HangupSignal;

/// How often the files' modification times are compared: a revocation holds within a second.
const INTERVAL: Duration = Duration::from_millis(500);

/// Comparisons in a row that find a file unchanged, after which it is taken as complete.
const SETTLED_AFTER: u32 = 2;

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
    revocations: Revocations,
    /// The key of Redis whose list is in force too.
    revoked_key: Option<String>,
    /// The settings that the log named as needing a restart.
    named: Vec<String>,
    revoked: Option<WatchedFile>,
    /// The revocations in force.
    in_force: RevokedTokens,
    /// Those of the file, if it lacks some that are in force; and how often it was found unchanged.
    settling: Option<(RevokedTokens, u32)>,
}

/// The list of revoked tokens, as it was before it was read.
#[derive(Debug)]
struct WatchedFile {
    path: PathBuf,
    stamp: FileStamp,
}

impl Reloader {
    /// Puts the list of revoked tokens into force.
    pub(super) fn new(
        server: Server,
        revocations: Revocations,
        settings: Settings,
        inputs: Inputs,
    ) -> Self {
        let has_access = settings.access.is_some();
        let (revoked, revoked_key) = settings
            .access
            .map(|access| (access.revoked, access.revoked_key))
            .unzip();
        let (revoked, revoked_key) = (revoked.flatten(), revoked_key.flatten());
        let mut reloader = Self {
            server,
            revocations,
            revoked_key,
            path: settings.path,
            inputs,
            flags: settings.flags,
            has_access,
            named: Vec::new(),
            revoked: None,
            in_force: RevokedTokens::default(),
            settling: None,
        };
        reloader.set_revoked(revoked);
        reloader
    }

    /// Runs until it is dropped.
    pub(super) async fn run(self, hangup: HangupSignal) {
        watch(self, hangup, Self::poll).await;
    }

    fn poll(&mut self, is_asked: bool) {
        let reloads = is_asked || self.inputs.have_changed();
        if reloads {
            self.reload();
        }
        let stamp = self.revoked.as_ref().map(|file| FileStamp::of(&file.path));
        let has_changed = stamp != self.revoked.as_ref().map(|file| file.stamp);
        if !reloads && !has_changed {
            return self.settle();
        }
        let (Some(revoked), Some(stamp)) = (&mut self.revoked, stamp) else {
            return;
        };
        if !is_asked && !has_changed {
            return;
        }
        revoked.stamp = stamp;
        match RevokedFile::load(&revoked.path) {
            Ok(file) => {
                let revocations = file.count;
                self.set_revoked(Some(file));
                tracing::info!(revocations, "revoked tokens read again");
            }
            Err(error) => {
                // An earlier list that lacks some is no better.
                self.settling = None;
                self.report(ReloadSource::RevokedTokens, Some(error.to_string()));
            }
        }
    }

    /// Lifts the revocations that are gone, once the file has not changed for a while.
    fn settle(&mut self) {
        let Some((tokens, unchanged)) = self.settling.take() else {
            return;
        };
        if unchanged + 1 < SETTLED_AFTER {
            self.settling = Some((tokens, unchanged + 1));
            return;
        }
        let revocations = tokens.len();
        self.put_into_force(tokens);
        tracing::info!(
            revocations,
            "revocations are lifted that are gone from the file"
        );
    }

    fn reload(&mut self) {
        let mut inputs = Inputs::default();
        let loaded = Settings::load(&self.path, &mut inputs);
        self.inputs = inputs;
        let settings = match loaded {
            Ok(settings) => settings,
            Err(error) => return self.report(ReloadSource::Settings, Some(error.to_string())),
        };
        let origins = parse_again(&settings).and_then(|args| args.origins());
        let origins = match origins {
            Ok(origins) => origins,
            Err(error) => return self.report(ReloadSource::Settings, Some(error.to_string())),
        };
        if let Err(error) = self.server.set_limits(settings.limits) {
            let why = error.message().to_owned();
            return self.report(ReloadSource::Settings, Some(why));
        }
        self.name_restart_settings(&settings);
        self.server.set_origins(origins);
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
            tracing::info!(file = %self.path.display(), "settings read again");
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
        let both = tokens.clone().and(&self.in_force);
        self.settling = (both != tokens).then_some((tokens, 0));
        self.put_into_force(both);
        self.report(ReloadSource::RevokedTokens, None);
    }

    fn put_into_force(&mut self, tokens: RevokedTokens) {
        self.in_force = tokens.clone();
        self.revocations.set_file(tokens);
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
        changed.retain(|name| !RELOADED.contains(&&**name));
        if settings.access.is_some() != self.has_access {
            changed.push("[auth]".to_owned());
        }
        if let Some(access) = &settings.access
            && access.revoked_key != self.revoked_key
        {
            changed.push("[auth.revocation] redis_key".to_owned());
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

/// Polls a watcher of files now and then and on SIGHUP, and tells it which. Runs until it is
/// dropped.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use streamgate::Config;
    use streamgate_memory::MemoryStreams;

    use super::*;

    #[test]
    fn a_revocation_that_is_gone_counts_until_the_file_has_settled() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(
            "streamgate.toml",
            "[auth]\nanonymous = 'guest'\n[auth.revocation]\nfile = 'revoked.toml'\n\
             [roles.guest]\nrights = [{ allow = ['read'], streams = ['public'] }]\n",
        );
        let [ann, bob] =
            ["ann", "bob"].map(|sub| format!("[[revoked]]\nsub = '{sub}'\nbefore = 2_000\n"));
        write("revoked.toml", &ann);
        let mut inputs = Inputs::default();
        let path = folder.path().join("streamgate.toml");
        let settings = Settings::load(&path, &mut inputs).unwrap();
        let server = Server::new(Arc::new(MemoryStreams::new()), Config::default()).unwrap();
        let revocations = Revocations::new(server.clone());
        let mut reloader = Reloader::new(server, revocations, settings, inputs);
        let mut in_force = || {
            reloader.poll(false);
            reloader.in_force.len()
        };
        assert_eq!(in_force(), 1);
        for cut in ["", "\n", "# a new list\n"] {
            write("revoked.toml", cut);
            assert_eq!(in_force(), 1, "it may be being written");
        }
        write("revoked.toml", &format!("{ann}{bob}"));
        assert_eq!(in_force(), 2, "at once");
        write("revoked.toml", &bob);
        assert_eq!(in_force(), 2);
        for _ in 1..SETTLED_AFTER {
            assert_eq!(in_force(), 2, "it may be being written");
        }
        assert_eq!(in_force(), 1, "it has settled");
    }
}
