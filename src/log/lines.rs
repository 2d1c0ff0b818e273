//! Small files of `key = value` lines under a checksum, replaced whole.
//!
//! The last line is `crc32c = ` and the CRC32C of all bytes before it in hex. A file is written
//! under another name and renamed, so it is there whole or as it was.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::error::{IoError, SYNC};
use super::width::narrow;

/// Such a file is a few lines; a longer one is none.
const BYTES_MAX: u64 = 64 << 10;

/// The lines of a file, in order, without the checksum.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<(String, String)>);

impl Lines {
    pub(crate) fn put(&mut self, key: &str, value: impl Display) {
        self.0.push((key.to_owned(), value.to_string()));
    }

    pub(crate) fn first(&self) -> Option<(&str, &str)> {
        self.iter().next()
    }

    /// The value of the first line with this key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The file's text, checksum and all.
    pub(crate) fn sealed(&self) -> String {
        let mut text = String::new();
        for (key, value) in self.iter() {
            text.push_str(&format!("{key} = {value}\n"));
        }
        let crc = crc32c::crc32c(text.as_bytes());
        text.push_str(&format!("crc32c = {crc:08x}\n"));
        text
    }

    /// The lines of `text` before the checksum, if it holds.
    fn checked(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (covered, crc) = text.trim_end_matches('\n').rsplit_once('\n')?;
        let crc = u32::from_str_radix(crc.strip_prefix("crc32c = ")?, 16).ok()?;
        let covered_with_newline = text.get(..=covered.len())?;
        if crc32c::crc32c(covered_with_newline.as_bytes()) != crc {
            return None;
        }
        let pair = |line: &str| {
            line.split_once(" = ").map(|(key, value)| (key.to_owned(), value.to_owned()))
        };
        covered.lines().map(pair).collect::<Option<_>>().map(Self)
    }
}

/// The lines of the file at `path`; `None` if it is absent or damaged.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Lines>, IoError> {
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(IoError::at("open", path)(e)),
    };
    let bytes = file.file_bytes().map_err(IoError::at("stat", path))?;
    let mut text = vec![0; narrow(bytes.min(BYTES_MAX))];
    file.read_at(&mut text, 0).map_err(IoError::at("read", path))?;
    Ok(Lines::checked(&text))
}

/// Puts a file with this text in the place of the one at `path`, durably but for the directory's
/// own sync. On an error the old one stays.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, text: &str) -> Result<(), IoError> {
    let temporary = unfinished(path);
    // Left over from an interrupted write; absent in most cases.
    let _absent = disk.remove(&temporary);
    let file = disk.create(&temporary).map_err(IoError::at("create", &temporary))?;
    file.write_at(text.as_bytes(), 0).map_err(IoError::at("write", &temporary))?;
    file.sync().map_err(IoError::at(SYNC, &temporary))?;
    disk.rename(&temporary, path).map_err(IoError::at("rename", &temporary))
}

/// What the file at `path` is called until it is whole.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}
