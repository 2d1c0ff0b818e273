//! The host's file system.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::AtomicU32;

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, FlockOperation};

use super::{Disk, File, Lock, Map};
use crate::log::width::{narrow, wide};

/// The host's file system, through the kernel's page cache.
#[derive(Debug, Default)]
pub struct OsDisk;

impl OsDisk {
    /// The host's file system.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Disk for OsDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(OsFile(owner_only().open(path)?)))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(OsFile(fs::File::open(path)?)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(OsFile(owner_only().create_new(true).open(path)?)))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let status = rustix::fs::statvfs(path)?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let file = owner_only().create(true).truncate(false).open(path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(OsLock { _file: file }))
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
struct OsFile(fs::File);

impl File for OsFile {
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, position)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, position.saturating_add(wide(filled))) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }

    fn file_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        loop {
            match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, bytes) {
                Err(rustix::io::Errno::INTR) => {}
                done => return done.map_err(Into::into),
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn map(&self, bytes: u64) -> io::Result<Box<dyn Map>> {
        if self.file_bytes()? < bytes {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "the file is shorter than its map",
            ));
        }
        let raw = MmapOptions::new().len(narrow(bytes)).map_raw(&self.0)?;
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
        self.raw.flush()
    }
}
