//! The one door between storage and files: a small trait, so that a test can put a disk behind it
//! that forgets, tears and fails.
//!
//! [`OsDisk`] is the host's file system, [`SimDisk`] the in-memory double.

mod locks;
mod os;
mod read_only;
mod sim;
mod spares;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU32;

pub use locks::Owner;
pub(crate) use locks::owner;
pub use os::OsDisk;
pub(crate) use read_only::ReadOnly;
pub use sim::{Op, SimDisk, Tear};

/// A file system. All paths are absolute or relative to the process's directory.
///
/// A name that was created, renamed or removed survives a power cut only once its directory was
/// synced; a file's bytes and length only once the file was.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Opens an existing file to read and write.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Opens an existing file to read.
    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Creates a file that must not exist, readable by its owner alone.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Creates a directory that must not exist, open to its owner alone; its parent exists.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, in no order.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Renames a file or directory, in place of a file of the new name if there is one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, which must not exist: both stand for the same bytes. Fails
    /// where the file system has no links, or has too many of this file.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes a file that must not exist hold what another holds, on the same blocks until either is
    /// written. Fails, and leaves no file, where the file system cannot do that.
    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes the directory's names durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Bytes that this process may still use on the file system of `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Takes the file's lock for this process until the guard is dropped; creates the file if need
    /// be. `WouldBlock` if another process has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
    /// Whether a process has the file's lock, without taking it; `false` if the file is absent.
    /// What runs in another container may not be seen.
    fn is_locked(&self, path: &Path) -> io::Result<bool>;
}

/// An open file. Calls on disjoint ranges may run concurrently.
pub trait File: fmt::Debug + Send + Sync {
    /// Writes all of `bytes` at `position`.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Fills `buffer` from `position`; the count is smaller only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// The length in bytes.
    fn file_bytes(&self) -> io::Result<u64>;
    /// Cuts the file to `bytes`, or extends it by zeros that own no space yet.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Extends the file to at least `bytes` with zeros that own their space, so that writing them
    /// cannot run out of it.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    /// Makes the bytes and the length durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
    /// Maps the first `bytes` of the file, which are allocated.
    fn map(&self, bytes: u64) -> io::Result<Box<dyn Map>>;
}

/// The mapped start of a file, as little-endian words that threads may share.
pub trait Map: fmt::Debug + Send + Sync {
    /// The words; whole ones only.
    fn words(&self) -> &[AtomicU32];
    /// Makes the mapped bytes durable (msync).
    fn sync(&self) -> io::Result<()>;
}

/// A held lock; dropping it lets go.
pub trait Lock: fmt::Debug + Send + Sync {}

/// Words in memory alone, for when a map cannot be had.
#[derive(Debug)]
pub(crate) struct HeapMap {
    words: Box<[AtomicU32]>,
}

impl HeapMap {
    pub(crate) fn zeroed(words: usize) -> Self {
        Self { words: (0..words).map(|_| AtomicU32::new(0)).collect() }
    }
}

impl Map for HeapMap {
    fn words(&self) -> &[AtomicU32] {
        &self.words
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
