//! The host's file system.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, FlockOperation};

use super::locks;
use super::spares::Spares;
use super::{Disk, File, Lock, Map};
use crate::fail_points::fail_point;
use crate::log::width::{narrow, wide};

/// The host's file system, through the kernel's page cache.
#[derive(Debug, Default)]
pub struct OsDisk {
    spares: Arc<Spares>,
}

impl OsDisk {
    /// The host's file system.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The host's file system, with so many file descriptors held back for it in a process that
    /// others use them up in.
    #[must_use]
    pub fn with_spare_descriptors(wanted: usize) -> Self {
        Self { spares: Arc::new(Spares::take(wanted)) }
    }

    fn file(&self, options: &fs::OpenOptions, path: &Path) -> io::Result<OsFile> {
        let file = self.spares.open(|| options.open(path))?;
        Ok(OsFile { file: Some(file), spares: Arc::clone(&self.spares) })
    }
}

impl Disk for OsDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        fail_point!("disk::open", fails);
        Ok(Box::new(self.file(&owner_only(), path)?))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        fail_point!("disk::open_to_read", fails);
        Ok(Box::new(self.file(fs::OpenOptions::new().read(true), path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        fail_point!("disk::create", fails);
        Ok(Box::new(self.file(owner_only().create_new(true), path)?))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fail_point!("disk::create_directory", fails);
        fs::DirBuilder::new().mode(0o700).create(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        fail_point!("disk::list", fails);
        self.spares
            .open(|| fs::read_dir(directory))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fail_point!("disk::rename", fails);
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fail_point!("disk::link", fails);
        fs::hard_link(from, to)
    }

    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        let source = self.file(fs::OpenOptions::new().read(true), from)?;
        let target = self.file(owner_only().create_new(true), to)?;
        let cloned = rustix::fs::ioctl_ficlone(target.file(), source.file());
        cloned.map_err(io::Error::from).inspect_err(|_| {
            // Else the copy in its place would find a file that it did not make.
            let _removed = fs::remove_file(to);
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fail_point!("disk::remove", fails);
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fail_point!("disk::remove_directory", fails);
        fs::remove_dir(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        fail_point!("disk::sync_directory", fails);
        self.file(fs::OpenOptions::new().read(true), path)?.file().sync_all()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        fail_point!("disk::free_bytes", fails);
        let status = rustix::fs::statvfs(path)?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        fail_point!("disk::lock", fails);
        let mut options = owner_only();
        options.create(true).truncate(false);
        let file = self.spares.open(|| options.open(path))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(OsLock { _file: file }))
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        fail_point!("disk::is_locked", fails);
        locks::is_locked(path)
    }
}

/// Opens files to read and write, refuses to follow a link, and creates them for the owner alone.
fn owner_only() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits();
    options.read(true).write(true).mode(0o600).custom_flags(no_follow.cast_signed());
    options
}

/// Holds a `flock` for as long as its file is open.
#[derive(Debug)]
struct OsLock {
    _file: fs::File,
}

impl Lock for OsLock {}

#[derive(Debug)]
struct OsFile {
    /// `None` once it is being dropped.
    file: Option<fs::File>,
    spares: Arc<Spares>,
}

impl OsFile {
    fn file(&self) -> &fs::File {
        self.file.as_ref().expect("it is not being dropped")
    }
}

impl Drop for OsFile {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            self.spares.close(file);
        }
    }
}

impl File for OsFile {
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        fail_point!("disk::write", fails);
        self.file().write_all_at(bytes, position)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        fail_point!("disk::read", fails);
        let end = position.saturating_add(wide(buffer.len()));
        if i64::try_from(end).is_err() {
            // Behind the end of any file. The kernel would call it a mistake, and a harmed index
            // may well name such a position.
            return Ok(0);
        }
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file().read_at(rest, position.saturating_add(wide(filled))) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }

    fn file_bytes(&self) -> io::Result<u64> {
        fail_point!("disk::file_bytes", fails);
        Ok(self.file().metadata()?.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        fail_point!("disk::set_len", fails);
        self.file().set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        fail_point!("disk::allocate", fails);
        loop {
            match rustix::fs::fallocate(self.file(), FallocateFlags::empty(), 0, bytes) {
                Err(rustix::io::Errno::INTR) => {}
                done => return done.map_err(Into::into),
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        fail_point!("disk::sync", fails);
        self.file().sync_data()
    }

    fn map(&self, bytes: u64) -> io::Result<Box<dyn Map>> {
        fail_point!("disk::map", fails);
        if self.file_bytes()? < bytes {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "the file is shorter than its map",
            ));
        }
        let raw = MmapOptions::new().len(narrow(bytes)).map_raw(self.file())?;
        Ok(Box::new(OsMap { raw }))
    }
}

#[derive(Debug)]
struct OsMap {
    raw: MmapRaw,
}

impl Map for OsMap {
    #[allow(unsafe_code)]
    fn words(&self) -> &[AtomicU32] {
        let words = self.raw.len() / size_of::<AtomicU32>();
        // SAFETY: the map lives as long as `self`, begins on a page and so is aligned for words, is
        // readable and writable for its whole length, and is only ever reached through these
        // atomics in this process. The file was as long as the map when it was mapped; if someone
        // cuts it from outside, the kernel ends the process rather than hand out other memory.
        unsafe { std::slice::from_raw_parts(self.raw.as_ptr().cast::<AtomicU32>(), words) }
    }

    fn sync(&self) -> io::Result<()> {
        fail_point!("disk::sync_map", fails);
        self.raw.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r9_nothing_is_read_where_no_file_can_have_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let file = OsDisk::new().create(&folder.path().join("file")).unwrap();
        file.write_at(b"bytes", 0).unwrap();
        let last = u64::try_from(i64::MAX).unwrap();
        for position in [5, 1 << 40, last - 1, last, last + 1, u64::MAX] {
            assert_eq!(file.read_at(&mut [0; 8], position).unwrap(), 0, "{position}");
        }
        assert_eq!(file.read_at(&mut [0; 8], 4).unwrap(), 1);
    }
}
