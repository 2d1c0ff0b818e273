//! Puts a file's bytes under a second name: by a link, or where there is none by a copy.

use std::io::ErrorKind;
use std::path::Path;

use super::disk::Disk;
use super::error::{IoError, SYNC};
use super::width::wide;

/// Copied at once, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// Makes `to` hold what `from` holds, by a link if the file system has them: then both stay the
/// same file. Durable but for the directory's sync. Returns whether it was a link.
pub(crate) fn keep(disk: &dyn Disk, from: &Path, to: &Path) -> Result<bool, IoError> {
    match disk.link(from, to) {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => {
            Err(IoError::at("link", from)(e))
        }
        Err(_) => copy(disk, from, to).map(|()| false),
    }
}

/// Copies the file to a name that must not exist, durably but for the directory's sync. On an error
/// no part of a copy is left.
pub(crate) fn copy(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), IoError> {
    let source = disk.open_to_read(from).map_err(IoError::at("open", from))?;
    let target = disk.create(to).map_err(IoError::at("create", to))?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut position = 0;
    let copied = loop {
        let read = match source.read_at(&mut piece, position) {
            Ok(0) => break target.sync().map_err(IoError::at(SYNC, to)),
            Ok(read) => read,
            Err(e) => break Err(IoError::at("read", from)(e)),
        };
        let bytes = piece.get(..read).unwrap_or_default();
        if let Err(e) = target.write_at(bytes, position) {
            break Err(IoError::at("write", to)(e));
        }
        position += wide(read);
    };
    if copied.is_err() {
        let _removed = disk.remove(to);
    }
    copied
}
