//! Looks at a log's `readers` file without using it.

use std::path::Path;

use super::Reader;
use super::format::{self, Contents};
use crate::log::disk::Disk;
use crate::log::error::IoError;
use crate::log::names;
use crate::log::offset::LogId;
use crate::log::width::{narrow, wide};

/// No file is longer, in bytes; a larger one is not read.
const FILE_BYTES_MAX: u64 = 64 << 20;

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

/// Looks at the file in the directory of the log `log_id`.
pub(crate) fn check(disk: &dyn Disk, directory: &Path, log_id: LogId) -> Result<Found, IoError> {
    Ok(match contents(disk, directory, log_id)? {
        None => Found::Absent,
        Some(Ok(found)) => Found::Whole { end: wide(found.end), torn_bytes: found.torn_bytes },
        Some(Err(what)) => Found::Damaged(what),
    })
}

/// The readers of the log `log_id`; `None` if their file is damaged.
pub(crate) fn read(
    disk: &dyn Disk,
    directory: &Path,
    log_id: LogId,
) -> Result<Option<Vec<Reader>>, IoError> {
    Ok(match contents(disk, directory, log_id)? {
        None => Some(Vec::new()),
        Some(Ok(found)) => Some(found.readers.into_values().collect()),
        Some(Err(_)) => None,
    })
}

/// What the file holds, or what is wrong with it; `None` if there is none.
fn contents(
    disk: &dyn Disk,
    directory: &Path,
    log_id: LogId,
) -> Result<Option<Result<Contents, String>>, IoError> {
    Ok(bytes(disk, directory)?.map(|bytes| format::decode(&bytes, log_id)))
}

/// The whole file; `None` if there is none.
pub(super) fn bytes(disk: &dyn Disk, directory: &Path) -> Result<Option<Vec<u8>>, IoError> {
    let path = names::readers(directory);
    let file = match disk.open_to_read(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(IoError::at("open", &path)(e)),
    };
    let file_bytes = file.file_bytes().map_err(IoError::at("stat", &path))?;
    let mut bytes = vec![0; narrow(file_bytes.min(FILE_BYTES_MAX))];
    let read = file.read_at(&mut bytes, 0).map_err(IoError::at("read", &path))?;
    bytes.truncate(read);
    Ok(Some(bytes))
}
