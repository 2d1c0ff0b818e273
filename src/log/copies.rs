//! Puts a file's bytes under a second name: by a link, by a clone on the same blocks, or by a copy.

use std::io::ErrorKind;
use std::path::Path;

use super::disk::{Disk, File};
use super::error::{IoError, SYNC};
use super::width::wide;

/// Copied at once, in bytes.
const PIECE_BYTES: usize = 1 << 20;
/// Synced as often, so that the sync at the end does not take long.
const SYNC_PIECES: u64 = 64;

/// Is told how many bytes more were copied, and says whether that may go on.
pub(crate) type MayGoOn<'a> = &'a (dyn Fn(u64) -> bool + Sync);

/// Makes `to` hold what `from` holds, by a link if the file system has them: then both stay the
/// same file. Durable but for the directory's sync. Returns whether it was a link.
pub(crate) fn keep(
    disk: &dyn Disk,
    from: &Path,
    to: &Path,
    may_go_on: MayGoOn<'_>,
) -> Result<bool, IoError> {
    match disk.link(from, to) {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => {
            Err(IoError::at("link", from)(e))
        }
        Err(_) => share(disk, from, to, may_go_on).map(|()| false),
    }
}

/// As `copy`, and on the same blocks if the file system can do that. For files that nobody writes
/// to any more: what is written to shared blocks needs new ones, and so a file that owned its space
/// owns it no longer, nor does the one that it was made from.
pub(crate) fn share(
    disk: &dyn Disk,
    from: &Path,
    to: &Path,
    may_go_on: MayGoOn<'_>,
) -> Result<(), IoError> {
    let source = disk.open_to_read(from).map_err(IoError::at("open", from))?;
    match disk.clone_file(from, to) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            return Err(IoError::at("create", to)(e));
        }
        Err(_) => return copy(disk, from, to, may_go_on),
    }
    let _wanted = may_go_on(source.file_bytes().unwrap_or_default());
    let target = disk.open(to).map_err(IoError::at("open", to));
    let shared = target.and_then(|target| target.sync().map_err(IoError::at(SYNC, to)));
    shared.inspect_err(|_| drop(disk.remove(to)))
}

/// Copies the file to a name that must not exist, durably but for the directory's sync. On an error
/// no part of a copy is left.
///
/// # Errors
///
/// `Interrupted` if it may not go on.
pub(crate) fn copy(
    disk: &dyn Disk,
    from: &Path,
    to: &Path,
    may_go_on: MayGoOn<'_>,
) -> Result<(), IoError> {
    let source = disk.open_to_read(from).map_err(IoError::at("open", from))?;
    let target = disk.create(to).map_err(IoError::at("create", to))?;
    let copied = copy_bytes((&*source, from), (&*target, to), may_go_on);
    copied.inspect_err(|_| drop(disk.remove(to)))
}

fn copy_bytes(
    (source, from): (&dyn File, &Path),
    (target, to): (&dyn File, &Path),
    may_go_on: MayGoOn<'_>,
) -> Result<(), IoError> {
    let mut piece = vec![0; PIECE_BYTES];
    let (mut position, mut pieces) = (0, 0_u64);
    loop {
        let read = source.read_at(&mut piece, position).map_err(IoError::at("read", from))?;
        if read == 0 {
            return target.sync().map_err(IoError::at(SYNC, to));
        }
        let bytes = piece.get(..read).unwrap_or_default();
        target.write_at(bytes, position).map_err(IoError::at("write", to))?;
        (position, pieces) = (position + wide(read), pieces + 1);
        if pieces.is_multiple_of(SYNC_PIECES) {
            target.sync().map_err(IoError::at(SYNC, to))?;
        }
        if !may_go_on(wide(read)) {
            return Err(IoError::at("go on with", to)(ErrorKind::Interrupted.into()));
        }
    }
}
