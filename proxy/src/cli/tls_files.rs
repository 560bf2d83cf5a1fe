//! The files of `[tls]`: a certificate, its key, and whom clients' certificates must come from.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use humantime::format_rfc3339_seconds;
use streamgate::{TlsConfig, TlsPart};

use super::CommandError;
use super::args::ServeArgs;
use super::settings::{Inputs, SettingsError};

/// Most bytes of one of the files: enough for all authorities that a system trusts.
const MAX_BYTES: u64 = 1 << 20;

/// Where the files are.
#[derive(Debug, Clone)]
pub(super) struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// The settings that the files contain.
#[derive(Debug)]
pub(super) struct LoadedTls {
    pub(super) files: TlsFiles,
    pub(super) config: TlsConfig,
    pub(super) inputs: Inputs,
}

impl TlsFiles {
    /// Returns the files that the flags name; `None` if they name none.
    pub(super) fn of(args: &ServeArgs) -> Result<Option<Self>, CommandError> {
        let (missing, given) = match (&args.tls_certificate, &args.tls_key, &args.tls_client_ca) {
            (Some(certificate), Some(key), client_ca) => {
                return Ok(Some(Self {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    client_ca: client_ca.clone(),
                }));
            }
            (None, None, None) => return Ok(None),
            (Some(_), None, _) => ("--tls-key", "--tls-certificate"),
            (None, Some(_), _) => ("--tls-certificate", "--tls-key"),
            (None, None, Some(_)) => ("--tls-certificate and --tls-key", "--tls-client-ca"),
        };
        Err(CommandError::usage(format_args!(
            "{given} without {missing}; add it, or the key in [tls] of the settings file"
        )))
    }

    /// Reads the files.
    pub(super) fn load(self) -> Result<LoadedTls, CommandError> {
        let mut inputs = Inputs::default();
        match self.read(&mut inputs) {
            Ok(config) => Ok(LoadedTls {
                files: self,
                config,
                inputs,
            }),
            Err(error) => Err(CommandError::usage(error)),
        }
    }

    /// Reads the files, and records them as inputs.
    pub(super) fn read(&self, inputs: &mut Inputs) -> Result<TlsConfig, SettingsError> {
        let read = |inputs: &mut Inputs, path| inputs.read(path, MAX_BYTES);
        // All of them are watched, even if the first is broken.
        let certificate = read(inputs, &self.certificate);
        let key = read(inputs, &self.key);
        let client_ca = self.client_ca.as_ref().map(|path| read(inputs, path));
        let client_ca = client_ca.transpose()?;
        TlsConfig::from_pem(&certificate?, &key?, client_ca.as_deref()).map_err(|error| {
            let path = match error.part() {
                TlsPart::Key => Some(&self.key),
                TlsPart::ClientCa => self.client_ca.as_ref(),
                _ => Some(&self.certificate),
            };
            let path = path.unwrap_or(&self.certificate).display();
            SettingsError::new(format!("{path}: {error}"))
        })
    }
}

impl LoadedTls {
    /// Logs until when the certificate is valid, or that it is not.
    pub(super) fn log_validity(&self) {
        log_validity(&self.config);
    }

    /// Describes the settings for people.
    pub(super) fn description(&self) -> impl fmt::Display {
        let certificate = self.files.certificate.display();
        let mut text = match self.config.expires_at() {
            Some(time) => {
                let time = format_rfc3339_seconds(time);
                format!("TLS: {certificate}, valid until {time}\n")
            }
            None => format!("TLS: {certificate}\n"),
        };
        if self.config.needs_client_certificate() {
            text.push_str("every client needs a certificate\n");
        }
        if let Some(why) = invalid_now(&self.config) {
            text.push_str(&format!("\nWARNING: {certificate}: {why}.\n"));
        }
        text
    }
}

/// Logs until when a certificate is valid, or that it is not.
pub(super) fn log_validity(config: &TlsConfig) {
    let until = config.expires_at().map(format_rfc3339_seconds);
    let until = until.map(tracing::field::display);
    match invalid_now(config) {
        Some(why) => tracing::warn!("TLS: {why}; clients refuse it"),
        None => tracing::info!(until, "TLS certificate in force"),
    }
}

/// Returns why clients refuse a certificate today, if they do.
fn invalid_now(config: &TlsConfig) -> Option<String> {
    let now = SystemTime::now();
    let expired = config.expires_at().filter(|time| *time <= now);
    let early = config.valid_from().filter(|time| *time > now);
    let since =
        |what: &str, time| format!("the certificate {what} {}", format_rfc3339_seconds(time));
    expired
        .map(|time| since("expired on", time))
        .or_else(|| early.map(|time| since("is not valid before", time)))
}
