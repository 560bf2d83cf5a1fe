//! The seeds of fuzzing: the golden vectors, the sequence tests, and the files of `tests/fuzz/seeds`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use crate::files::{copy, remove_folder};
use crate::workspace;

/// The first byte of a session's input, which is its encoding.
const BINARY: u8 = 0;
const JSON: u8 = 1;

/// Writes the seeds of every target into folders of their names.
pub(super) fn write(folder: &Path) -> anyhow::Result<()> {
    remove_folder(folder)?;
    copy(&workspace::root().join("tests/fuzz/seeds"), folder)?;
    let mut seeds = Seeds { folder, written: 0 };
    for file in json_files("protocol/vectors")? {
        for vector in parse(&file)?.as_array().context("no list of vectors")? {
            seeds.vector(vector)?;
        }
    }
    for file in json_files("protocol/sequences")? {
        let transcript = parse(&file)?;
        let steps = transcript["steps"].as_array().into_iter().flatten();
        let messages = steps
            .filter(|step| step["step"] == "send")
            .filter_map(|step| step["messages"].as_array())
            .map(|messages| {
                let lines: Vec<_> = messages.iter().map(Value::to_string).collect();
                lines.join("\n").into_bytes()
            });
        seeds.session(JSON, messages)?;
    }
    Ok(())
}

struct Seeds<'a> {
    folder: &'a Path,
    written: usize,
}

impl Seeds<'_> {
    fn vector(&mut self, vector: &Value) -> anyhow::Result<()> {
        let mut frames = Vec::new();
        for (encoding, name) in [(JSON, "json"), (BINARY, "binary")] {
            frames.extend(vector[name].as_str().map(|text| (encoding, text)));
            if vector["encoding"] == name {
                frames.extend(vector["frame"].as_str().map(|text| (encoding, text)));
            }
        }
        for (encoding, text) in frames {
            let (target, bytes) = match encoding {
                JSON => ("json_messages", Some(text.as_bytes().to_vec())),
                _ => ("binary_messages", bytes(text)),
            };
            // A frame that is no text in hexadecimal digits is described in words.
            let Some(bytes) = bytes else { continue };
            self.file(target, &bytes)?;
            if vector["direction"] == "client" {
                self.session(encoding, [bytes])?;
            }
        }
        Ok(())
    }

    /// Writes frames as the pieces of a session's input.
    fn session(
        &mut self,
        encoding: u8,
        frames: impl IntoIterator<Item = Vec<u8>>,
    ) -> anyhow::Result<()> {
        /// A piece that is a whole message.
        const MESSAGE: u8 = 0;
        let mut input = vec![encoding];
        for frame in frames {
            // Longer ones are no seeds: most inputs shall be short.
            let Ok(length) = u16::try_from(frame.len()) else {
                continue;
            };
            input.push(MESSAGE);
            input.extend(length.to_be_bytes());
            input.extend(frame);
        }
        self.file("session", &input)
    }

    fn file(&mut self, target: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let folder = self.folder.join(target);
        fs::create_dir_all(&folder)?;
        self.written += 1;
        fs::write(folder.join(format!("seed-{}", self.written)), bytes)?;
        Ok(())
    }
}

fn json_files(folder: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(workspace::root().join(folder))? {
        let file = entry?.path();
        if file
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn parse(file: &Path) -> anyhow::Result<Value> {
    let text = fs::read_to_string(file)?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))
}

fn bytes(hexadecimal: &str) -> Option<Vec<u8>> {
    let digits = hexadecimal.as_bytes().chunks(2);
    let byte = |digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    digits.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        for target in super::super::TARGETS {
            let seeds = fs::read_dir(folder.path().join(target)).unwrap().count();
            assert!(seeds > 3, "{target} has {seeds} seeds");
        }
        assert_eq!(bytes("0aff"), Some(vec![10, 255]));
        assert_eq!(bytes("x"), None);
    }
}
