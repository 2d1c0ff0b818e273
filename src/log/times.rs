//! Finds the records of a segment by the time at which they were appended.
//!
//! Append times never go back along a log, so a search through the index reads a few frame headers.
//! Its answer proves itself: an older frame ends where one begins that is not older. Where it
//! cannot, because an entry or a frame is damaged, the store's headers are walked instead.

use super::error::{IoError, ReadError};
use super::frame::{FRAME_HEADER_BYTES, FrameHeader};
use super::offset::Offset;
use super::reached::Reached;
use super::scan::{Found, Scan};
use super::segment::{Segment, SegmentFiles};
use super::store::{Store, StoreFault};
use super::store_header::STORE_HEADER_BYTES;
use super::width::wide;

impl Segment {
    /// When the first record that can be read here was appended; `None` if none can be.
    pub(crate) fn first_time_us(&self) -> Result<Option<u64>, IoError> {
        let files = match self.files() {
            Ok(files) => files,
            Err(StoreFault::Io(e)) => return Err(e),
            Err(StoreFault::Header | StoreFault::Newer(_)) => return Ok(None),
        };
        if let Some(header) = header_at(&files.store, wide(STORE_HEADER_BYTES))? {
            return Ok(Some(header.append_time_us));
        }
        let mut scan = Scan::headers(&files.store, wide(STORE_HEADER_BYTES))?;
        while scan.resync()? {
            if let Found::Frame { header, .. } = scan.next()? {
                return Ok(Some(header.append_time_us));
            }
        }
        Ok(None)
    }

    /// When the record at `offset`, which lies in this segment below `limit`, was appended.
    ///
    /// # Errors
    ///
    /// As [`Segment::read`].
    pub(crate) fn time_at_us(&self, offset: Offset, limit: Offset) -> Result<u64, ReadError> {
        let files = self.files_to_read(offset)?;
        if let Some(position) = self.position(&files, offset)
            && let Some(header) = header_at(&files.store, position)?
            && header.base <= offset
            && offset < header.next_offset()
            && header.next_offset() <= limit
        {
            return Ok(header.append_time_us);
        }
        let chunk = self.read(offset, limit, 0)?;
        let first = chunk.batches().next();
        Ok(first.expect("a chunk has a batch").append_time_us)
    }

    /// The first record below `limit` that was appended at `time_us` or later, or `limit` if all
    /// are older.
    ///
    /// # Errors
    ///
    /// `Damaged` with the range that the answer may lie in; as [`Segment::read`] else.
    pub(crate) fn offset_at_time(&self, time_us: u64, limit: Offset) -> Result<Offset, ReadError> {
        let files = self.files_to_read(self.base())?;
        if let Some(offset) = self.search(&files, time_us, limit)? {
            return Ok(offset);
        }
        let offset = self.walk(&files.store, time_us, limit)?;
        // The index was wrong, or it has entries of damaged frames that lie elsewhere.
        self.rebuild_index(&files)?;
        Ok(offset)
    }

    /// Searches through the index; `None` if it does not lead to an answer that is certain.
    fn search(
        &self,
        files: &SegmentFiles,
        time_us: u64,
        limit: Offset,
    ) -> Result<Option<Offset>, IoError> {
        let (mut low, mut high) = (0, self.entries().min(files.index.capacity()));
        let (mut older_until, mut found) = (self.base(), None);
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(position) = files.index.position(middle) else {
                return Ok(None);
            };
            let Some(header) = header_at(&files.store, position)? else {
                return Ok(None);
            };
            if header.append_time_us < time_us {
                (low, older_until) = (middle + 1, header.next_offset());
            } else {
                (high, found) = (middle, Some(header.base));
            }
        }
        let certain = match found {
            Some(found) => older_until == found,
            None => older_until >= limit,
        };
        Ok(certain.then_some(limit.min(older_until)))
    }

    /// Walks the headers of the store.
    fn walk(&self, store: &Store, time_us: u64, limit: Offset) -> Result<Offset, ReadError> {
        let mut reached = Reached::nothing(self.base()).within(self.end());
        let mut scan = Scan::headers(store, wide(STORE_HEADER_BYTES))?;
        while reached.end < limit {
            let older_until = reached.end;
            match scan.next()? {
                Found::Frame { header, .. } if reached.refusal(&header).is_some() => {}
                Found::Frame { header, .. }
                    if header.append_time_us < time_us && header.base < limit =>
                {
                    reached.take(&header);
                }
                Found::Frame { header, .. } if header.base == older_until => {
                    return Ok(older_until);
                }
                Found::Frame { header, .. } => {
                    return Err(self.lost(older_until, header.base.min(limit)));
                }
                Found::Nothing { .. } if scan.resync()? => {}
                Found::Nothing { .. } | Found::Footer { .. } => {
                    return Err(self.lost(older_until, self.end()));
                }
            }
        }
        Ok(limit)
    }

    fn lost(&self, from: Offset, resume: Offset) -> ReadError {
        self.mark_damaged(from, Some(resume));
        ReadError::Damaged { from, resume: Some(resume) }
    }
}

/// The valid frame header at `position`, if one stands there.
fn header_at(store: &Store, position: u64) -> Result<Option<FrameHeader>, IoError> {
    let mut bytes = store.read(position, FRAME_HEADER_BYTES)?;
    if let Some(header_bytes) = FrameHeader::claimed_bytes(&bytes).filter(|n| *n > bytes.len()) {
        bytes = store.read(position, header_bytes)?;
    }
    Ok(FrameHeader::decode(&bytes, store.seed()))
}
