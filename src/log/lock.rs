//! The ownership of a data directory: one process at a time changes it.

use std::io::ErrorKind;
use std::path::Path;

use super::disk::{Disk, Lock};
use super::error::{IoError, OpenError};
use super::names;

/// Takes the data directory for this process until the guard is dropped.
///
/// # Errors
///
/// `Owned` if another process has it; nothing is changed then.
pub(crate) fn take(disk: &dyn Disk, data: &Path) -> Result<Box<dyn Lock>, OpenError> {
    let path = names::lock(data);
    disk.lock(&path).map_err(|e| match e.kind() {
        ErrorKind::WouldBlock => OpenError::Owned { path },
        _ => IoError::at("lock", &path)(e).into(),
    })
}
