//! The load balancers that tests put before several servers: nginx and HAProxy.

use std::env;
use std::path::PathBuf;

use anyhow::{bail, ensure};

use super::{debian, executable, shared_libraries};
use crate::command::{command, output};
use crate::workspace;

/// A load balancer, by the name of its program and of its package.
pub(crate) struct LoadBalancer {
    name: &'static str,
    pub(crate) variable: &'static str,
}

pub(crate) const NGINX: LoadBalancer = LoadBalancer {
    name: "nginx",
    variable: "STREAMGATE_NGINX",
};

pub(crate) const HAPROXY: LoadBalancer = LoadBalancer {
    name: "haproxy",
    variable: "STREAMGATE_HAPROXY",
};

impl LoadBalancer {
    /// The program that the variable names, or the one that `setup` fetched, or that on `PATH`.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        env::var_os(self.variable)
            .map(PathBuf::from)
            .or_else(|| Some(self.fetched()).filter(|program| program.is_file()))
            .or_else(|| executable::find(self.name))
    }

    /// Fetches Debian's, if there is none. It is not installed: the package starts a service.
    pub(crate) fn fetch(&self) -> anyhow::Result<()> {
        if self.find().is_some() {
            return Ok(());
        }
        let Self { name, variable } = self;
        let advice = format!("install {name}, or set {variable} to it");
        if !debian::has_apt() {
            bail!("missing on this machine: {name}; {advice}");
        }
        debian::unpack(name, &self.folder())?;
        shared_libraries::install_for(&self.fetched())?;
        ensure!(
            output(command(self.fetched()).arg("-v")).is_some(),
            "the fetched {name} does not run; {advice}"
        );
        Ok(())
    }

    fn fetched(&self) -> PathBuf {
        self.folder().join("usr/sbin").join(self.name)
    }

    fn folder(&self) -> PathBuf {
        workspace::tools().join(self.name)
    }
}
