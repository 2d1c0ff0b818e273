//! The archive: copies of stores, kept when their segments are dropped.
//!
//! A copy is `ARCHIVE/<log name>-<log id>/<base offset in 20 digits>.store`, the same bytes as the
//! store. It has that name once it is whole, durable, and reads back as the store does.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::disk::{Disk, File};
use super::error::{IoError, SYNC};
use super::names::{self, LogName};
use super::offset::{LogId, Offset};
use super::width::wide;

/// Copied at once, in bytes.
const PIECE_BYTES: usize = 1 << 20;
/// Synced as often, so that nobody who wants the copying to end has to wait for long.
const SYNC_PIECES: u64 = 8;

/// Where a log's copies are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) log: (&'a LogName, LogId),
}

/// What two files have in common if they hold the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum {
    bytes: u64,
    crc: u32,
}

/// Sees to it that the archive has a whole and durable copy of the store at `path`. Gives up when
/// `may_go_on` says so.
pub(crate) fn keep(
    disk: &dyn Disk,
    place: &Place<'_>,
    path: &Path,
    base: Offset,
    may_go_on: &dyn Fn() -> bool,
) -> Result<(), IoError> {
    let (name, id) = place.log;
    let directory = place.directory.join(format!("{name}-{id}"));
    let target = names::store(&directory, base);
    let source = Piecewise { file: open(disk, path)?, path, may_go_on };
    if let Ok(file) = disk.open_to_read(&target) {
        let copy = Piecewise { file, path: &target, may_go_on };
        // Left by an attempt that was interrupted before the segment went, or by one whose last
        // sync failed: so it may yet be lost.
        if copy.sum(None)? == source.sum(None)? {
            let file = disk.open(&target).map_err(IoError::at("open", &target))?;
            file.sync().map_err(IoError::at(SYNC, &target))?;
            return [&*directory, place.directory].into_iter().try_for_each(|above| {
                disk.sync_directory(above).map_err(IoError::at(SYNC, above))
            });
        }
    }
    make_directory(disk, place.directory, &directory)?;
    let unfinished = directory.join(format!("{:020}.part", base.get()));
    let copied = copy(disk, &source, &unfinished)
        .and_then(|()| disk.rename(&unfinished, &target).map_err(IoError::at("rename", &target)))
        .and_then(|()| disk.sync_directory(&directory).map_err(IoError::at(SYNC, &directory)));
    if copied.is_err() {
        // It may be what fills the disk.
        let _absent = disk.remove(&unfinished);
    }
    copied
}

fn copy(disk: &dyn Disk, source: &Piecewise<'_>, path: &Path) -> Result<(), IoError> {
    // Left over from an interrupted copy; absent in most cases.
    let _absent = disk.remove(path);
    let file = disk.create(path).map_err(IoError::at("create", path))?;
    let expected = source.sum(Some((&*file, path)))?;
    file.sync().map_err(IoError::at(SYNC, path))?;
    drop(file);
    let copy = Piecewise { file: open(disk, path)?, path, may_go_on: source.may_go_on };
    if copy.sum(None)? == expected {
        return Ok(());
    }
    let what = "the copy does not read back as it was written";
    Err(IoError::at("archive", path)(io::Error::new(ErrorKind::InvalidData, what)))
}

fn open(disk: &dyn Disk, path: &Path) -> Result<Box<dyn File>, IoError> {
    disk.open_to_read(path).map_err(IoError::at("open", path))
}

/// Creates the log's directory unless it is there, durably.
fn make_directory(disk: &dyn Disk, above: &Path, directory: &Path) -> Result<(), IoError> {
    match disk.create_directory(directory) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(IoError::at("create", directory)(e)),
        Ok(()) | Err(_) => disk.sync_directory(above).map_err(IoError::at(SYNC, above)),
    }
}

/// A file that is read piece by piece as long as that may go on.
struct Piecewise<'a> {
    file: Box<dyn File>,
    path: &'a Path,
    may_go_on: &'a dyn Fn() -> bool,
}

impl Piecewise<'_> {
    /// Reads all of it, and writes it to `target` if there is one.
    fn sum(&self, target: Option<(&dyn File, &Path)>) -> Result<Sum, IoError> {
        let mut piece = vec![0; PIECE_BYTES];
        let (mut sum, mut pieces) = (Sum { bytes: 0, crc: 0 }, 0_u64);
        loop {
            if !(self.may_go_on)() {
                return Err(IoError::at("archive", self.path)(ErrorKind::Interrupted.into()));
            }
            let read = self.file.read_at(&mut piece, sum.bytes);
            let read = read.map_err(IoError::at("read", self.path))?;
            let bytes = piece.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(sum);
            }
            if let Some((file, path)) = target {
                file.write_at(bytes, sum.bytes).map_err(IoError::at("write", path))?;
                pieces += 1;
                if pieces % SYNC_PIECES == 0 {
                    file.sync().map_err(IoError::at(SYNC, path))?;
                }
            }
            sum = Sum { bytes: sum.bytes + wide(read), crc: crc32c::crc32c_append(sum.crc, bytes) };
        }
    }
}

/// Whether `archive` would be emptied, or taken for a log or a backup, by a server on `data`.
pub(crate) fn is_in_the_way(archive: &Path, data: &Path) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let archive = absolute(archive);
    [names::logs(data), names::trash(data), names::backups(data)]
        .iter()
        .map(|path| absolute(path))
        .any(|own: PathBuf| archive.starts_with(own))
}
