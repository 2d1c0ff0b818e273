//! A segment's store file: a header, then frames, then a footer once the segment is sealed.
//!
//! This file moves bytes; what they mean to a log is decided above.

use std::path::{Path, PathBuf};

use super::disk::{Disk, File};
use super::error::{IoError, SYNC};
use super::footer::Footer;
use super::offset::{LogId, Offset};
use super::seed::Seed;
use super::store_header::{HeaderFault, STORE_HEADER_BYTES, StoreHeader};
use super::width::{narrow, wide};

/// An open store file.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    file: Box<dyn File>,
    seed: Seed,
}

/// Why a store file does not open.
#[derive(Debug)]
pub(crate) enum StoreFault {
    /// Its header is damaged, or that of another log or segment.
    Header,
    /// A newer format, with what it asks for.
    Newer(String),
    /// It could not be read.
    Io(IoError),
}

impl StoreFault {
    /// The fault as a failure to read `path`, for callers that have no use for its kinds.
    pub(crate) fn at(self, path: &Path) -> IoError {
        let invalid = |what| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
        match self {
            Self::Header => IoError::at("use", path)(invalid("its header is damaged".to_owned())),
            Self::Newer(found) => {
                IoError::at("use", path)(invalid(format!("its format is {found}")))
            }
            Self::Io(e) => e,
        }
    }
}

impl Store {
    /// Writes the header into a file that was just created, makes it durable, and gives the file
    /// its name `path` in its directory.
    ///
    /// The name is durable only after the directory's sync, which the caller does.
    pub(crate) fn begin(
        disk: &dyn Disk,
        (file, created_as): (Box<dyn File>, &Path),
        path: &Path,
        header: &StoreHeader,
    ) -> Result<Self, IoError> {
        file.write_at(&header.encode(), 0).map_err(IoError::at("write", created_as))?;
        file.sync().map_err(IoError::at(SYNC, created_as))?;
        disk.rename(created_as, path).map_err(IoError::at("rename", created_as))?;
        Ok(Self { path: path.to_owned(), file, seed: header.seed() })
    }

    /// Opens the store of the segment of `log` that begins at `base`.
    pub(crate) fn open(
        disk: &dyn Disk,
        path: &Path,
        log: LogId,
        base: Offset,
    ) -> Result<Self, StoreFault> {
        let file = disk.open(path).map_err(|e| StoreFault::Io(IoError::at("open", path)(e)))?;
        let header = read_header(&*file, path)?;
        if header.log_id != log || header.base != base {
            return Err(StoreFault::Header);
        }
        Ok(Self { path: path.to_owned(), file, seed: header.seed() })
    }

    /// Opens a store to read without knowing whose it is.
    pub(crate) fn open_alone(
        disk: &dyn Disk,
        path: &Path,
    ) -> Result<(Self, StoreHeader), StoreFault> {
        let file = disk.open_to_read(path);
        let file = file.map_err(|e| StoreFault::Io(IoError::at("open", path)(e)))?;
        let header = read_header(&*file, path)?;
        Ok((Self { path: path.to_owned(), file, seed: header.seed() }, header))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn seed(&self) -> Seed {
        self.seed
    }

    /// Both copies of the header, whole.
    pub(crate) fn header_bytes(&self) -> Result<Vec<u8>, IoError> {
        let bytes = self.read(0, STORE_HEADER_BYTES)?;
        Ok(StoreHeader::decode(&bytes).map_or(bytes, |header| header.encode()))
    }

    pub(crate) fn file_bytes(&self) -> Result<u64, IoError> {
        self.file.file_bytes().map_err(IoError::at("stat", &self.path))
    }

    pub(crate) fn write(&self, bytes: &[u8], position: u64) -> Result<(), IoError> {
        self.file.write_at(bytes, position).map_err(IoError::at("write", &self.path))
    }

    pub(crate) fn sync(&self) -> Result<(), IoError> {
        self.file.sync().map_err(IoError::at(SYNC, &self.path))
    }

    pub(crate) fn allocate(&self, bytes: u64) -> Result<(), IoError> {
        self.file.allocate(bytes).map_err(IoError::at("allocate space for", &self.path))
    }

    pub(crate) fn set_len(&self, bytes: u64) -> Result<(), IoError> {
        self.file.set_len(bytes).map_err(IoError::at("truncate", &self.path))
    }

    /// Up to `bytes_max` bytes from `position`; fewer only at the end of the file.
    pub(crate) fn read(&self, position: u64, bytes_max: usize) -> Result<Vec<u8>, IoError> {
        let mut bytes = vec![0; bytes_max];
        let read =
            self.file.read_at(&mut bytes, position).map_err(IoError::at("read", &self.path))?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// The footer, if the segment is sealed and its footer intact.
    pub(crate) fn footer(&self) -> Result<Option<Footer>, IoError> {
        let file_bytes = self.file_bytes()?;
        let trailer_at = file_bytes.saturating_sub(Footer::trailer_bytes());
        let trailer = self.read(trailer_at, narrow(Footer::trailer_bytes()))?;
        let Some(position) = Footer::position_from_end(&trailer, file_bytes) else {
            return Ok(None);
        };
        let bytes = self.read(position, narrow(file_bytes - position))?;
        Ok(Footer::decode(&bytes, self.seed).filter(|footer| footer.position == position))
    }

    /// Writes the footer behind the last frame and ends the file with it, durably.
    ///
    /// The frames must be durable before: a valid footer vouches for them.
    pub(crate) fn seal(&self, footer: &Footer) -> Result<(), IoError> {
        let bytes = footer.encode(self.seed);
        self.write(&bytes, footer.position)?;
        self.set_len(footer.position + wide(bytes.len()))?;
        self.sync()
    }
}

fn read_header(file: &dyn File, path: &Path) -> Result<StoreHeader, StoreFault> {
    let mut bytes = [0; STORE_HEADER_BYTES];
    let read = file.read_at(&mut bytes, 0);
    let read = read.map_err(|e| StoreFault::Io(IoError::at("read", path)(e)))?;
    StoreHeader::decode(bytes.get(..read).unwrap_or_default()).map_err(|fault| match fault {
        HeaderFault::Unreadable => StoreFault::Header,
        HeaderFault::Newer(found) => StoreFault::Newer(found),
    })
}
