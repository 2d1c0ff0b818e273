//! Looks at a log's `readers` file without using it.

use std::path::Path;

use super::format;
use super::journal::FILE_BYTES_MAX;
use crate::log::disk::Disk;
use crate::log::error::IoError;
use crate::log::names;
use crate::log::offset::LogId;
use crate::log::width::{narrow, wide};

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No file.
    Absent,
    /// A file whose entries end at a position, and how many bytes behind it never counted.
    Whole { end: u64, torn_bytes: usize },
    /// A file that is not used, and why.
    Damaged(String),
}

/// Reads the file in the directory of the log `log_id`.
pub(crate) fn check(disk: &dyn Disk, directory: &Path, log_id: LogId) -> Result<Found, IoError> {
    let path = names::readers(directory);
    let file = match disk.open_to_read(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Absent),
        Err(e) => return Err(IoError::at("open", &path)(e)),
    };
    let file_bytes = file.file_bytes().map_err(IoError::at("stat", &path))?;
    let mut bytes = vec![0; narrow(file_bytes.min(FILE_BYTES_MAX))];
    let read = file.read_at(&mut bytes, 0).map_err(IoError::at("read", &path))?;
    bytes.truncate(read);
    Ok(match format::decode(&bytes, log_id) {
        Ok(contents) => Found::Whole { end: wide(contents.end), torn_bytes: contents.torn_bytes },
        Err(what) => Found::Damaged(what),
    })
}
