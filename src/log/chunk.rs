//! What one read brings back: whole frames, checked, in the bytes they have on disk.

use std::ops::Range;

use super::error::IoError;
use super::frame::{FRAME_HEADER_BYTES, FrameHeader};
use super::offset::Offset;
use super::store::Store;
use super::width::wide;

/// Consecutive batches of a log, as they are stored.
#[derive(Debug)]
pub struct Chunk {
    bytes: Vec<u8>,
    frames: Vec<(FrameHeader, Range<usize>)>,
}

/// One batch of a [`Chunk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBatch<'a> {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// How many records there are, at least 1.
    pub records: u32,
    /// When the log took the batch, in microseconds since the Unix epoch.
    pub append_time_us: u64,
    /// The bytes that were appended.
    pub payload: &'a [u8],
}

impl Chunk {
    /// The batches in order; never none. The first may begin below the offset that was asked for.
    pub fn batches(&self) -> impl Iterator<Item = StoredBatch<'_>> {
        self.frames.iter().map(|(header, payload)| StoredBatch {
            base_offset: header.base,
            records: header.records,
            append_time_us: header.append_time_us,
            payload: self.bytes.get(payload.clone()).unwrap_or_default(),
        })
    }

    /// The offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.frames.last().map_or(Offset::ZERO, |(header, _)| header.next_offset())
    }

    /// Reads frames from `position` on, none of which reaches beyond `limit`, where a batch ends.
    /// `None` if no intact one that holds `offset` is there.
    pub(crate) fn read(
        store: &Store,
        position: u64,
        offset: Offset,
        limit: Offset,
        bytes_max: usize,
    ) -> Result<Option<Self>, IoError> {
        let mut bytes = store.read(position, bytes_max.max(FRAME_HEADER_BYTES))?;
        let first = FrameHeader::claimed_bytes(&bytes).filter(|n| *n > bytes.len());
        if let Some(header_bytes) = first {
            bytes = store.read(position, header_bytes)?;
        }
        let Some(header) = FrameHeader::decode(&bytes, store.seed()) else {
            return Ok(None);
        };
        if header.base > offset || header.next_offset() <= offset {
            return Ok(None);
        }
        if header.payload_end() > bytes.len() {
            let held = wide(bytes.len());
            let rest = store.read(position + held, header.payload_end() - bytes.len())?;
            bytes.extend_from_slice(&rest);
        }
        let mut frames = Vec::new();
        let (mut at, mut expected) = (0, header.base);
        while expected < limit {
            let Some((header, payload)) = frame_at(&bytes, at, store) else {
                break;
            };
            if header.base != expected || header.next_offset() > limit {
                break;
            }
            at += header.frame_bytes();
            expected = header.next_offset();
            frames.push((header, payload));
        }
        Ok((!frames.is_empty()).then_some(Self { bytes, frames }))
    }
}

/// The intact frame at `at`, with where its payload lies in `bytes`.
fn frame_at(bytes: &[u8], at: usize, store: &Store) -> Option<(FrameHeader, Range<usize>)> {
    let header = FrameHeader::decode(bytes.get(at..)?, store.seed())?;
    let payload = at + header.payload_at()..at + header.payload_end();
    header.matches(bytes.get(payload.clone())?).then_some((header, payload))
}
