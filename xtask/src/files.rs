//! Folders and links.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context;

/// Removes a folder, if there is one.
pub(crate) fn remove_folder(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Copies a file, or a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    Ok(())
}

/// Makes a symbolic link, in place of one that is there.
pub(crate) fn link(original: &Path, link: &Path) -> anyhow::Result<()> {
    if fs::read_link(link).is_ok_and(|place| place == original) {
        return Ok(());
    }
    match fs::remove_file(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{} is in the way", link.display()));
        }
        _ => {}
    }
    if let Some(folder) = link.parent() {
        fs::create_dir_all(folder)?;
    }
    symlink(original, link).with_context(|| format!("linking {}", link.display()))
}

#[cfg(unix)]
fn symlink(original: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(original, link)
}

#[cfg(windows)]
fn symlink(original: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(original, link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_copied_whole_and_removed_whole() {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        fs::create_dir_all(from.join("inner")).unwrap();
        fs::write(from.join("inner/file"), "text").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("inner/file")).unwrap(), "text");
        remove_folder(&to).unwrap();
        assert!(!to.exists());
        remove_folder(&to).unwrap();
    }

    #[test]
    fn a_link_is_replaced_and_a_folder_is_not() {
        let place = tempfile::tempdir().unwrap();
        let link_place = place.path().join("link");
        link(Path::new("one"), &link_place).unwrap();
        link(Path::new("two"), &link_place).unwrap();
        assert_eq!(fs::read_link(&link_place).unwrap(), Path::new("two"));
        let folder = place.path().join("folder");
        fs::create_dir(&folder).unwrap();
        assert!(link(Path::new("one"), &folder).is_err());
    }
}
