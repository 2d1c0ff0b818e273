//! A disk on which nothing can be changed, for those who only look: a mistake of theirs fails.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::{Disk, File, Lock};

/// The same files, to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadOnly<'a>(pub(crate) &'a dyn Disk);

fn refused<T>() -> io::Result<T> {
    Err(ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for ReadOnly<'_> {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.0.open_to_read(path)
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.0.open_to_read(path)
    }

    fn create(&self, _: &Path) -> io::Result<Box<dyn File>> {
        refused()
    }

    fn create_directory(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.0.list(directory)
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn clone_file(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_directory(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.0.free_bytes(path)
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Lock>> {
        refused()
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        self.0.is_locked(path)
    }
}
