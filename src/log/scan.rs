//! Walks a store file frame by frame, and finds the next valid one behind damage.
//!
//! Bytes are read in blocks; a walk that does not verify payloads skips over them.

use super::codec::until_zeros;
use super::error::IoError;
use super::footer::Footer;
use super::frame::{FRAME_ALIGN, FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader};
use super::store::Store;
use super::width::{narrow, wide};

/// Read at once when payloads are verified, in bytes.
const BLOCK_BYTES: usize = 1 << 20;
/// Read at once when only headers matter, in bytes.
const HEADER_BLOCK_BYTES: usize = 64 << 10;

/// What stands at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A frame with a valid header; `intact` says whether its payload is too, if it was verified.
    Frame { position: u64, header: FrameHeader, intact: bool },
    /// A valid footer.
    Footer { position: u64, footer: Footer },
    /// Neither: zeros, damage, or the end of the file. The scan stays there.
    Nothing { position: u64 },
}

/// A walk through a store file.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    store: &'a Store,
    verify: bool,
    position: u64,
    file_bytes: u64,
    block: Vec<u8>,
    block_at: u64,
}

impl<'a> Scan<'a> {
    /// Walks from `position`, reading headers only.
    pub(crate) fn headers(store: &'a Store, position: u64) -> Result<Self, IoError> {
        Self::new(store, position, false)
    }

    /// Walks from `position` and verifies the payloads.
    pub(crate) fn verified(store: &'a Store, position: u64) -> Result<Self, IoError> {
        Self::new(store, position, true)
    }

    fn new(store: &'a Store, position: u64, verify: bool) -> Result<Self, IoError> {
        let file_bytes = store.file_bytes()?;
        Ok(Self { store, verify, position, file_bytes, block: Vec::new(), block_at: 0 })
    }

    /// What stands at the scan's position; moves behind it if it is valid.
    pub(crate) fn next(&mut self) -> Result<Found, IoError> {
        let position = self.position;
        let seed = self.store.seed();
        let header_bytes = FrameHeader::claimed_bytes(self.window(position, FRAME_HEADER_BYTES)?);
        if let Some(header_bytes) = header_bytes
            && let Some(header) = FrameHeader::decode(self.window(position, header_bytes)?, seed)
            && position + wide(header.payload_end()) <= self.file_bytes
        {
            let intact = !self.verify || {
                let frame = self.window(position, header.payload_end())?;
                frame
                    .get(header.payload_at()..header.payload_end())
                    .is_some_and(|p| header.matches(p))
            };
            self.position = position + wide(header.frame_bytes());
            return Ok(Found::Frame { position, header, intact });
        }
        let claimed = Footer::claimed_bytes(self.window(position, FRAME_HEADER_BYTES)?);
        if let Some(claimed) = claimed.filter(|bytes| position + bytes <= self.file_bytes)
            && let Some(footer) = Footer::decode(self.window(position, narrow(claimed))?, seed)
            && footer.position == position
        {
            self.position = position + claimed;
            return Ok(Found::Footer { position, footer });
        }
        Ok(Found::Nothing { position })
    }

    /// Moves back to a position where something valid stood.
    pub(crate) fn go_back_to(&mut self, position: u64) {
        self.position = position;
    }

    /// Moves to the next position behind this one where a valid frame header or footer stands;
    /// `false`, and at the end of the file, if there is none.
    pub(crate) fn resync(&mut self) -> Result<bool, IoError> {
        let mut at = self.position + wide(FRAME_ALIGN);
        while at < self.file_bytes {
            let Some(candidate) = self.next_magic(at)? else {
                break;
            };
            self.position = candidate;
            match self.next()? {
                Found::Nothing { .. } => at = candidate + wide(FRAME_ALIGN),
                Found::Frame { .. } | Found::Footer { .. } => {
                    self.position = candidate;
                    return Ok(true);
                }
            }
        }
        self.position = self.file_bytes;
        Ok(false)
    }

    /// The last position in the file that is not zero, at or after `from`, as the length of what
    /// stands there; 0 if all is zero.
    pub(crate) fn bytes_until_zeros(&mut self, from: u64) -> Result<u64, IoError> {
        let mut used = 0;
        let mut at = from;
        while at < self.file_bytes {
            let window = self.window(at, BLOCK_BYTES)?;
            if window.is_empty() {
                break;
            }
            let window_bytes = wide(window.len());
            let used_here = wide(until_zeros(window));
            if used_here > 0 {
                used = at + used_here - from;
            }
            at += window_bytes;
        }
        Ok(used)
    }

    /// The next position from `at` on, a multiple of the alignment, where a magic number stands.
    fn next_magic(&mut self, mut at: u64) -> Result<Option<u64>, IoError> {
        while at < self.file_bytes {
            let window = self.window(at, HEADER_BLOCK_BYTES)?;
            let places = wide(window.len() / FRAME_ALIGN);
            let found = window
                .chunks_exact(FRAME_ALIGN)
                .position(|word| word.starts_with(&FRAME_MAGIC) || Footer::may_start(word));
            match found {
                Some(words) => return Ok(Some(at + wide(words * FRAME_ALIGN))),
                None if places == 0 => return Ok(None),
                None => at += places * wide(FRAME_ALIGN),
            }
        }
        Ok(None)
    }

    /// Up to `bytes` bytes at `position`, fewer at the end of the file.
    fn window(&mut self, position: u64, bytes: usize) -> Result<&[u8], IoError> {
        let rest = narrow(self.file_bytes.saturating_sub(position));
        let bytes = bytes.min(rest);
        let end = position + wide(bytes);
        let held = self.block_at..self.block_at + wide(self.block.len());
        if position < held.start || end > held.end {
            let block = if self.verify { BLOCK_BYTES } else { HEADER_BLOCK_BYTES };
            self.block = self.store.read(position, block.max(bytes).min(rest))?;
            self.block_at = position;
        }
        let from = narrow(position - self.block_at);
        let to = (from + bytes).min(self.block.len());
        Ok(self.block.get(from..to).unwrap_or_default())
    }
}
