//! The browsers of the tests: Chromium, which they drive, and Firefox.

use std::env;
use std::path::{Path, PathBuf};

use super::{Missing, executable};

/// A browser, and where it may be.
pub(crate) struct Browser {
    /// The environment variable that names another one.
    pub(crate) variable: &'static str,
    /// Its names on `PATH`.
    names: &'static [&'static str],
    macos: &'static str,
    missing: Missing,
}

pub(crate) const CHROMIUM: Browser = Browser {
    variable: "STREAMGATE_CHROMIUM",
    names: &["chromium", "chromium-browser", "google-chrome", "chrome"],
    macos: "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    missing: Missing {
        what: "Chromium",
        packages: &["chromium"],
        elsewhere: "install Chromium or Chrome, or set STREAMGATE_CHROMIUM to it",
    },
};

pub(crate) const FIREFOX: Browser = Browser {
    variable: "STREAMGATE_FIREFOX",
    names: &["firefox", "firefox-esr"],
    macos: "/Applications/Firefox.app/Contents/MacOS/firefox",
    missing: Missing {
        what: "Firefox",
        packages: &["firefox-esr"],
        elsewhere: "install Firefox, or set STREAMGATE_FIREFOX to it",
    },
};

impl Browser {
    /// Returns the one that its variable names, or one that is installed.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        env::var_os(self.variable)
            .map(PathBuf::from)
            .or_else(|| self.names.iter().find_map(|name| executable::find(name)))
            .or_else(|| Path::new(self.macos).exists().then(|| self.macos.into()))
    }

    pub(crate) fn missing(&self) -> Option<Missing> {
        self.find().is_none().then_some(self.missing)
    }
}
