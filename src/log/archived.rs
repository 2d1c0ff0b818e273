//! Reads a store file alone, without its log: a copy in the archive, or any other.
//!
//! Every byte that is returned was checked, as far as a file can tell by itself: whether all of its
//! log's records are in it only the footer of a sealed segment says.

use std::path::Path;

use thiserror::Error;

use super::disk::Disk;
use super::error::IoError;
use super::footer::Footer;
use super::offset::{LogId, Offset};
use super::scan::{Found, Scan};
use super::store::{Store, StoreFault};
use super::store_header::{FORMAT_VERSION, STORE_HEADER_BYTES};
use super::width::wide;

/// An open store file. It is not changed.
#[derive(Debug)]
pub struct ArchivedSegment {
    store: Store,
    log_id: LogId,
    base: Offset,
}

/// A batch of a store file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedBatch {
    /// Where in the file its frame is.
    pub position: u64,
    /// The offset of the first record.
    pub base_offset: Offset,
    /// How many records there are.
    pub records: u32,
    /// When the log took it, in microseconds since the Unix epoch.
    pub append_time_us: u64,
    /// Which of the log's openings to append wrote it.
    pub incarnation: u64,
    /// The offset below which all was on disk when it was written.
    pub durable_end: Offset,
    /// The bytes that were appended.
    pub payload: Vec<u8>,
}

/// What is wrong with a store file.
#[derive(Debug, Error)]
pub enum ArchivedError {
    /// It has no header that can be read.
    #[error("this is no store file, or its header is damaged")]
    NoStore,
    /// A newer release wrote it.
    #[error("the file has format {found}, and this release reads up to version {FORMAT_VERSION}")]
    NewerFormat {
        /// Its version, or the feature flags that are not known.
        found: String,
    },
    /// Bytes are not as they were written. What follows can still be read.
    #[error("damaged at position {position}, from offset {from} on: {what}")]
    Damaged {
        /// Where in the file.
        position: u64,
        /// The first offset that cannot be read.
        from: Offset,
        /// What was found.
        what: &'static str,
    },
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] IoError),
}

impl ArchivedSegment {
    /// Opens the file at `path` to read.
    ///
    /// # Errors
    ///
    /// Any but `Damaged`.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Self, ArchivedError> {
        match Store::open_alone(disk, path) {
            Ok((store, header)) => Ok(Self { store, log_id: header.log_id, base: header.base }),
            Err(StoreFault::Header) => Err(ArchivedError::NoStore),
            Err(StoreFault::Newer(found)) => Err(ArchivedError::NewerFormat { found }),
            Err(StoreFault::Io(error)) => Err(error.into()),
        }
    }

    /// The log that it is of.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// The offset that it begins with.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        self.base
    }

    /// Its batches in order. Damage comes between those around it, and does not end it.
    ///
    /// # Errors
    ///
    /// The file could not be read.
    pub fn batches(&self) -> Result<ArchivedBatches<'_>, IoError> {
        let scan = Scan::verified(&self.store, wide(STORE_HEADER_BYTES))?;
        Ok(ArchivedBatches {
            store: &self.store,
            scan,
            end: self.base,
            frames: 0,
            segment_crc: 0,
            footer: None,
            is_broken: false,
            is_over: false,
        })
    }
}

/// The batches of a store file.
#[derive(Debug)]
pub struct ArchivedBatches<'a> {
    store: &'a Store,
    scan: Scan<'a>,
    end: Offset,
    frames: u32,
    segment_crc: u32,
    footer: Option<Footer>,
    /// Damage was told of, after which a gap is no news.
    is_broken: bool,
    is_over: bool,
}

impl ArchivedBatches<'_> {
    /// The offset after the last record that was read.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Whether the segment was sealed; known at the end.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.footer.is_some()
    }

    fn read_next(&mut self) -> Result<Option<ArchivedBatch>, ArchivedError> {
        match self.scan.next()? {
            Found::Frame { position, header, intact } => {
                let from = self.end;
                if !intact {
                    return Err(damaged(position, from, "a batch does not match its checksum"));
                }
                if header.base < from {
                    return Err(damaged(position, from, "a batch has offsets that were before"));
                }
                if header.base > from && !self.is_broken {
                    self.is_broken = true;
                    self.scan.go_back_to(position);
                    return Err(damaged(position, from, "records are missing before a batch"));
                }
                self.is_broken = false;
                self.frames += 1;
                self.segment_crc =
                    crc32c::crc32c_append(self.segment_crc, &header.crc.to_le_bytes());
                self.end = header.next_offset();
                let payload_bytes = header.payload_end() - header.payload_at();
                let payload_at = position + wide(header.payload_at());
                let batch = ArchivedBatch {
                    position,
                    base_offset: header.base,
                    records: header.records,
                    append_time_us: header.append_time_us,
                    incarnation: header.incarnation,
                    durable_end: header.durable_end,
                    payload: self.store.read(payload_at, payload_bytes)?,
                };
                Ok(Some(batch))
            }
            Found::Footer { position, footer } => {
                self.is_over = true;
                self.footer = Some(footer);
                let vouched = (footer.frames, footer.end, footer.segment_crc);
                if self.is_broken || vouched == (self.frames, self.end, self.segment_crc) {
                    return Ok(None);
                }
                Err(damaged(position, self.end, "the footer tells of other batches"))
            }
            Found::Nothing { position } => self.after_nothing(position),
        }
    }

    /// Space that is allocated ahead ends a segment that is not sealed; anything else is damage.
    fn after_nothing(&mut self, position: u64) -> Result<Option<ArchivedBatch>, ArchivedError> {
        if self.scan.bytes_until_zeros(position)? == 0 {
            self.is_over = true;
            return Ok(None);
        }
        self.is_over = !self.scan.resync()?;
        Err(damaged(position, self.end, "there is neither a batch nor a footer"))
    }
}

impl Iterator for ArchivedBatches<'_> {
    type Item = Result<ArchivedBatch, ArchivedError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.read_next();
        match next {
            Err(ArchivedError::Io(_)) => self.is_over = true,
            Err(_) => self.is_broken = true,
            Ok(_) => {}
        }
        next.transpose()
    }
}

fn damaged(position: u64, from: Offset, what: &'static str) -> ArchivedError {
    ArchivedError::Damaged { position, from, what }
}
