//! Shared libraries of programs that no package manager has installed.

use std::path::Path;

use super::debian;
use crate::command::{command, output};

/// Debian packages by the shared library they bring.
const LIBRARIES: [(&str, &str); 6] = [
    ("libgomp.so.1", "libgomp1"),
    ("libstdc++.so.6", "libstdc++6"),
    ("libgcc_s.so.1", "libgcc-s1"),
    ("liblua5.3.so.0", "liblua5.3-0"),
    ("libopentracing-c-wrapper.so.0", "libopentracing-c-wrapper0"),
    ("libpcre2-posix.so.3", "libpcre2-posix3"),
];

/// Installs the libraries that a program needs and this system lacks, where apt can.
pub(super) fn install_for(program: &Path) -> anyhow::Result<()> {
    let report = output(command("ldd").arg(program)).unwrap_or_default();
    let packages = packages_of_missing(&report);
    if !packages.is_empty() && debian::has_apt() {
        debian::install(&packages)?;
    }
    Ok(())
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
