//! The files that settings were read from, and whether one of them has changed since.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::SettingsError;

/// What distinguishes two states of a file; `None` if there is no such file.
///
/// A modification time survives the way in which Kubernetes replaces files: through links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct FileStamp(Option<(SystemTime, u64, u64)>);

/// Files that were read, each as it was before it was read: a change during the reading is seen.
#[derive(Debug, Default)]
pub(in crate::cli) struct Inputs(Vec<(PathBuf, FileStamp)>);

impl FileStamp {
    pub(in crate::cli) fn of(path: &Path) -> Self {
        let facts = fs::metadata(path).and_then(|metadata| {
            let modified = metadata.modified()?;
            Ok((modified, metadata.len(), file_number(&metadata)))
        });
        Self(facts.ok())
    }
}

#[cfg(unix)]
fn file_number(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn file_number(_: &fs::Metadata) -> u64 {
    0
}

impl Inputs {
    /// Returns whether a file that was read is not as it was.
    pub(in crate::cli) fn have_changed(&self) -> bool {
        self.0
            .iter()
            .any(|(path, stamp)| FileStamp::of(path) != *stamp)
    }

    /// Records a file as it was before somebody else read it.
    pub(super) fn watch(&mut self, path: &Path, stamp: FileStamp) {
        self.0.push((path.to_owned(), stamp));
    }

    pub(in crate::cli) fn read_text(
        &mut self,
        path: &Path,
        max_bytes: u64,
    ) -> Result<String, SettingsError> {
        let bytes = self.read(path, max_bytes)?;
        let why = "it is not UTF-8";
        String::from_utf8(bytes).map_err(|_| cannot_read(path, why))
    }

    pub(in crate::cli) fn read(
        &mut self,
        path: &Path,
        max_bytes: u64,
    ) -> Result<Vec<u8>, SettingsError> {
        self.watch(path, FileStamp::of(path));
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(max_bytes + 1).read_to_end(&mut bytes))
            .map_err(|error| cannot_read(path, error))?;
        if bytes.len() as u64 > max_bytes {
            let why = format!("it has more than {max_bytes} bytes");
            return Err(cannot_read(path, why));
        }
        Ok(bytes)
    }
}

fn cannot_read(path: &Path, why: impl std::fmt::Display) -> SettingsError {
    SettingsError(format!("cannot read '{}': {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_and_so_are_files_that_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut absent = Inputs::default();
        absent.read(&path, 10).unwrap_err();
        assert!(!absent.have_changed());
        fs::write(&path, "a").unwrap();
        assert!(absent.have_changed());
        let mut present = Inputs::default();
        assert_eq!(present.read(&path, 1).unwrap(), b"a");
        assert!(!present.have_changed());
        fs::write(&path, "ab").unwrap();
        assert!(present.have_changed());
        assert!(Inputs::default().read(&path, 1).is_err());
    }
}
