//! The floors below a log, opened for benchmarks and fuzzing alone (feature `floors`): not an
//! interface.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::chunk::Chunk;
use super::disk::{Disk, OsDisk};
use super::error::{IoError, ReadError};
use super::files::FileCache;
use super::frame::{FrameHeader, Stamp, stamp};
use super::index::Index;
use super::offset::{LogId, Offset};
use super::scan::{Found, Scan};
use super::seed::Seed;
use super::segment::Segment;
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

/// What a frame says, and where its payload lies in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFrame {
    /// The offset of the first record.
    pub base: u64,
    /// How many records there are.
    pub records: u32,
    /// When the log took the batch, in microseconds since the Unix epoch.
    pub append_time_us: u64,
    /// The place of the payload.
    pub payload: Range<usize>,
}

/// Reads the frame at the start of `bytes`, header and payload; `None` if no valid one is there.
#[must_use]
pub fn read_frame(bytes: &[u8]) -> Option<ReadFrame> {
    let header = FrameHeader::decode(bytes, seed())?;
    let payload = header.payload_at()..header.payload_end();
    let (base, records) = (header.base.get(), header.records);
    let append_time_us = header.append_time_us;
    header.matches(bytes.get(payload.clone())?).then_some(ReadFrame {
        base,
        records,
        append_time_us,
        payload,
    })
}

/// Whether `frame` is a valid one, header and payload.
#[must_use]
pub fn decode_frame(frame: &[u8]) -> bool {
    read_frame(frame).is_some()
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

/// A segment without its log.
#[derive(Debug)]
pub struct LoneSegment(Segment);

impl LoneSegment {
    /// The segment of `log` in `directory` that holds the offsets from the first up to the second.
    #[must_use]
    pub fn new(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        log: LogId,
        offsets: (Offset, Offset),
    ) -> Self {
        let cache = Arc::new(FileCache::new(1, 2));
        Self(Segment::known((disk, &cache), directory, log, offsets))
    }

    /// Reads whole batches from the one that holds `offset`, as a log does.
    ///
    /// # Errors
    ///
    /// As a log's.
    pub fn read(&self, offset: Offset, bytes_max: usize) -> Result<Chunk, ReadError> {
        self.0.read(offset, self.0.end(), bytes_max)
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
