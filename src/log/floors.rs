//! The floors below a log, opened for benchmarks alone (feature `floors`): not an interface.

use std::path::Path;

use super::disk::OsDisk;
use super::error::IoError;
use super::frame::{FrameHeader, Stamp, stamp};
use super::index::Index;
use super::offset::{LogId, Offset};
use super::scan::{Found, Scan};
use super::seed::Seed;
use super::store::{Store, StoreFault};
use super::store_header::STORE_HEADER_BYTES;
use super::width::wide;

fn seed() -> Seed {
    Seed::new(LogId::from_bytes([1; 16]), Offset::ZERO, 5)
}

/// Adds `payload` to `out` as a frame, as an append and the flusher do between them.
///
/// # Panics
///
/// If `payload` is larger than a frame can be.
pub fn encode_frame(payload: &[u8], records: u32, out: &mut Vec<u8>) {
    let payload_bytes = u32::try_from(payload.len()).expect("a payload fits a frame");
    let payload_crc = crc32c::crc32c(payload);
    let header = FrameHeader { payload_bytes, records, payload_crc, ..FrameHeader::default() };
    let at = out.len();
    header.append_frame(payload, out);
    let known = Stamp { incarnation: 1, durable_end: Offset::ZERO, seed: seed() };
    stamp(out.get_mut(at..).unwrap_or_default(), known);
}

/// Whether `frame` is a valid one, header and payload.
#[must_use]
pub fn decode_frame(frame: &[u8]) -> bool {
    FrameHeader::decode(frame, seed()).is_some_and(|header| {
        frame.get(header.payload_at()..header.payload_end()).is_some_and(|p| header.matches(p))
    })
}

/// An index in memory with an entry per frame.
#[derive(Debug)]
pub struct FilledIndex {
    index: Index,
    entries: u32,
}

impl FilledIndex {
    /// With so many entries, of frames of ten records.
    #[must_use]
    pub fn new(entries: u32) -> Self {
        let index = Index::in_memory(entries);
        for n in 0..entries {
            index.put(n, n * 10, 128 + u64::from(n) * 1000);
        }
        Self { index, entries }
    }

    /// Where the frame stands that holds the record at `relative`.
    #[must_use]
    pub fn find(&self, relative: u32) -> Option<u64> {
        self.index.find(self.entries, relative)
    }
}

/// Walks through the store file at `path` as recovery does, every checksum verified, and returns
/// how many frames there are.
///
/// # Errors
///
/// The file cannot be read.
///
/// # Panics
///
/// If it is no store file.
pub fn scan_store(path: &Path) -> Result<usize, IoError> {
    let (store, _) = match Store::open_alone(&OsDisk::new(), path) {
        Ok(opened) => opened,
        Err(StoreFault::Io(error)) => return Err(error),
        Err(StoreFault::Header | StoreFault::Newer(_)) => panic!("no store file"),
    };
    let mut scan = Scan::verified(&store, wide(STORE_HEADER_BYTES))?;
    let mut frames = 0;
    while let Found::Frame { intact: true, .. } = scan.next()? {
        frames += 1;
    }
    Ok(frames)
}
