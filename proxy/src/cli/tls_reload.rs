//! Reads the files of `[tls]` again: when one changes, and on SIGHUP.
//!
//! A certificate and its key are often replaced one after the other. In between they do not belong
//! together, and the last good ones stay in force.

use streamgate::{ReloadSource, Server};

use super::reload::{report, watch};
use super::settings::Inputs;
use super::signals::HangupSignal;
use super::tls_files::{LoadedTls, TlsFiles, log_validity};

/// Keeps the certificate of a server as its files say.
#[derive(Debug)]
pub(super) struct TlsReloader {
    server: Server,
    files: TlsFiles,
    inputs: Inputs,
}

impl TlsReloader {
    pub(super) fn new(server: Server, tls: LoadedTls) -> Self {
        let LoadedTls { files, inputs, .. } = tls;
        Self {
            server,
            files,
            inputs,
        }
    }

    /// Runs until it is dropped.
    pub(super) async fn run(self, hangup: HangupSignal) {
        watch(self, hangup, Self::poll).await;
    }

    fn poll(&mut self, is_asked: bool) {
        if !is_asked && !self.inputs.have_changed() {
            return;
        }
        self.inputs = Inputs::default();
        let config = match self.files.read(&mut self.inputs) {
            Ok(config) => config,
            Err(error) => {
                return report(&self.server, ReloadSource::Tls, Some(error.to_string()));
            }
        };
        let replaced = self.server.set_tls(config.clone());
        let error = replaced.err().map(|error| error.message().to_owned());
        report(&self.server, ReloadSource::Tls, error);
        log_validity(&config);
    }
}
