//! Programs and their versions.

use std::env;
use std::path::{Path, PathBuf};

use crate::command::{command, output};
use crate::search_path::search_path;

/// Major and minor.
pub(crate) type Version = (u32, u32);

/// The program's place on `PATH`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let file = Path::new(name).with_extension(env::consts::EXE_EXTENSION);
    env::split_paths(&search_path())
        .map(|folder| folder.join(&file))
        .find(|place| place.is_file())
}

/// What `program --version` says.
pub(crate) fn version(program: impl AsRef<Path>) -> Option<Version> {
    parse(&output(command(program.as_ref()).arg("--version"))?)
}

/// The first `major.minor` in a text.
fn parse(text: &str) -> Option<Version> {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .find_map(|word| {
            let mut numbers = word.split('.');
            let major = numbers.next()?.parse().ok()?;
            let minor = numbers.next()?.parse().ok()?;
            Some((major, minor))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        let redis = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64";
        assert_eq!(parse(redis), Some((7, 0)));
        assert_eq!(parse("v20.20.2"), Some((20, 20)));
        assert_eq!(parse("wasm-opt version 108 (version_108)"), None);
        assert_eq!(parse("pip 23.2.1 from /usr (python 3.11)"), Some((23, 2)));
        assert_eq!(parse("... no number ."), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_program_is_found_by_its_name() {
        assert!(find("cargo").is_some_and(|place| place.is_file()));
        assert_eq!(find("no-such-program"), None);
    }
}
