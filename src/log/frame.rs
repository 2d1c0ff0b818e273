//! A frame: one batch as it is stored.
//!
//! A frame starts at a multiple of 8 and is a header of 88 bytes, an extension (none yet), the
//! payload, and zeros up to the next multiple of 8.
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `VFRM` |
//! | 4 | 4 | seeded CRC32C of bytes 8 to the end of the extension |
//! | 8 | 4 | payload length |
//! | 12 | 4 | records in the batch, at least 1 |
//! | 16 | 8 | base offset |
//! | 24 | 8 | append time, microseconds since the Unix epoch |
//! | 32 | 8 | incarnation |
//! | 40 | 8 | durable end, an offset |
//! | 48 | 2 | flags, zero |
//! | 50 | 2 | extension length, a multiple of 8 |
//! | 52 | 4 | CRC32C of the payload |
//! | 56 | 16 | producer id; all zero if the batch has none |
//! | 72 | 4 | producer epoch |
//! | 76 | 4 | zero |
//! | 80 | 8 | producer sequence |
//!
//! The payload's CRC is not seeded, so that it is computed before any lock is taken; it lies under
//! the header's, which is. An all-zero header has no magic and so is never valid.

use super::codec::Decoder;
use super::offset::Offset;
use super::producer::{Producer, ProducerId};
use super::seed::Seed;
use super::store_header::STORE_HEADER_BYTES;
use super::width::{narrow, wide};

/// The length of a frame's header without its extension.
pub(crate) const FRAME_HEADER_BYTES: usize = 88;
/// Every frame starts at a multiple of this.
pub(crate) const FRAME_ALIGN: usize = 8;
/// The first four bytes of a frame.
pub(crate) const FRAME_MAGIC: [u8; 4] = *b"VFRM";

const CRC_AT: usize = 4;
const COVERED_FROM: usize = 8;
const INCARNATION_AT: usize = 32;
const EXTENSION_LENGTH_AT: usize = 50;
/// The fields of the producer.
const PRODUCER_BYTES: usize = 32;

/// The fields of a frame's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) payload_bytes: u32,
    pub(crate) records: u32,
    pub(crate) base: Offset,
    pub(crate) append_time_us: u64,
    /// How often the log had been opened to append when the frame was written.
    pub(crate) incarnation: u64,
    /// The log's durable end when the frame was written.
    pub(crate) durable_end: Offset,
    pub(crate) extension_bytes: u16,
    pub(crate) payload_crc: u32,
    pub(crate) producer: Option<Producer>,
    /// The header's own checksum, as it was read or stamped.
    pub(crate) crc: u32,
}

impl FrameHeader {
    /// The offset after the frame's last record.
    pub(crate) fn next_offset(&self) -> Offset {
        self.base.plus(u64::from(self.records))
    }

    /// Bytes from the frame's start to its payload.
    pub(crate) fn payload_at(&self) -> usize {
        FRAME_HEADER_BYTES + usize::from(self.extension_bytes)
    }

    /// Bytes from the frame's start to the end of its payload.
    pub(crate) fn payload_end(&self) -> usize {
        self.payload_at() + narrow(u64::from(self.payload_bytes))
    }

    /// Bytes that the frame takes in the store, padding included.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.payload_end().next_multiple_of(FRAME_ALIGN)
    }

    /// Appends the frame to `out`, with a header that [`stamp`] has yet to complete.
    pub(crate) fn append_frame(&self, payload: &[u8], out: &mut Vec<u8>) {
        out.reserve(self.frame_bytes());
        out.extend_from_slice(&FRAME_MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.payload_bytes.to_le_bytes());
        out.extend_from_slice(&self.records.to_le_bytes());
        out.extend_from_slice(&self.base.get().to_le_bytes());
        out.extend_from_slice(&self.append_time_us.to_le_bytes());
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        out.extend_from_slice(&self.durable_end.get().to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.extension_bytes.to_le_bytes());
        out.extend_from_slice(&self.payload_crc.to_le_bytes());
        match &self.producer {
            Some(producer) => {
                out.extend_from_slice(&producer.id.bytes());
                out.extend_from_slice(&producer.epoch.to_le_bytes());
                out.extend_from_slice(&[0; 4]);
                out.extend_from_slice(&producer.sequence.to_le_bytes());
            }
            None => out.extend_from_slice(&[0; PRODUCER_BYTES]),
        }
        out.extend_from_slice(payload);
        out.resize(out.len().next_multiple_of(FRAME_ALIGN), 0);
    }

    /// The length, extension included, that the header at the start of `bytes` claims, if one may
    /// start there.
    pub(crate) fn claimed_bytes(bytes: &[u8]) -> Option<usize> {
        let extension = Decoder::new(bytes.get(EXTENSION_LENGTH_AT..)?).u16()?;
        bytes.starts_with(&FRAME_MAGIC).then_some(FRAME_HEADER_BYTES + usize::from(extension))
    }

    /// Reads the header at the start of `bytes`, or `None` if no valid frame of this segment starts
    /// there. The payload is not looked at.
    pub(crate) fn decode(bytes: &[u8], seed: Seed) -> Option<Self> {
        let header = Self::claimed(bytes)?;
        let covered = bytes.get(COVERED_FROM..header.payload_at())?;
        (seed.crc(covered) == header.crc && header.records > 0).then_some(header)
    }

    /// As `decode`, where the seed is lost: what the fields say is under no checksum.
    pub(crate) fn claimed(bytes: &[u8]) -> Option<Self> {
        let mut fields = Decoder::new(bytes);
        if fields.array()? != FRAME_MAGIC {
            return None;
        }
        let crc = fields.u32()?;
        let payload_bytes = fields.u32()?;
        let records = fields.u32()?;
        let base = Offset::new(fields.u64()?);
        let append_time_us = fields.u64()?;
        let incarnation = fields.u64()?;
        let durable_end = Offset::new(fields.u64()?);
        let _flags = fields.u16()?;
        let extension_bytes = fields.u16()?;
        let payload_crc = fields.u32()?;
        let id = fields.array()?;
        let epoch = fields.u32()?;
        let _zero = fields.u32()?;
        let sequence = fields.u64()?;
        let producer = ProducerId::from_bytes(id).map(|id| Producer { id, epoch, sequence });
        Some(Self {
            payload_bytes,
            records,
            base,
            append_time_us,
            incarnation,
            durable_end,
            extension_bytes,
            payload_crc,
            producer,
            crc,
        })
    }

    /// Whether `payload` is the one this header was written with.
    pub(crate) fn matches(&self, payload: &[u8]) -> bool {
        wide(payload.len()) == u64::from(self.payload_bytes)
            && crc32c::crc32c(payload) == self.payload_crc
    }
}

/// Whether a store can hold `frames` frames before `position`: the least of each is its header.
pub(crate) fn can_stand_before(position: u64, frames: u32) -> bool {
    let least_bytes = u64::from(frames) * wide(FRAME_HEADER_BYTES);
    least_bytes <= position.saturating_sub(wide(STORE_HEADER_BYTES))
}

/// What is known of a frame only when it is written out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) incarnation: u64,
    pub(crate) durable_end: Offset,
    pub(crate) seed: Seed,
}

/// Completes the header at the start of `frame`, and returns its CRC.
///
/// # Panics
///
/// If `frame` is shorter than a header: only whole frames are written out.
pub(crate) fn stamp(frame: &mut [u8], stamp: Stamp) -> u32 {
    let put = |frame: &mut [u8], at: usize, field: &[u8]| {
        let target = frame.get_mut(at..at + field.len()).expect("a frame holds its header");
        target.copy_from_slice(field);
    };
    put(frame, INCARNATION_AT, &stamp.incarnation.to_le_bytes());
    put(frame, INCARNATION_AT + 8, &stamp.durable_end.get().to_le_bytes());
    // No extension is written yet, so the covered bytes end with the header.
    let covered = frame.get(COVERED_FROM..FRAME_HEADER_BYTES).expect("a frame holds its header");
    let crc = stamp.seed.crc(covered);
    put(frame, CRC_AT, &crc.to_le_bytes());
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::offset::LogId;

    fn seed() -> Seed {
        Seed::new(LogId::from_bytes([1; 16]), Offset::ZERO, 5)
    }

    fn frame(payload: &[u8]) -> (FrameHeader, Vec<u8>) {
        let mut header = FrameHeader {
            payload_bytes: u32::try_from(payload.len()).unwrap(),
            records: 3,
            base: Offset::new(10),
            append_time_us: 77,
            payload_crc: crc32c::crc32c(payload),
            producer: ProducerId::from_bytes([9; 16])
                .filter(|_| payload.len() % 2 == 1)
                .map(|id| Producer { id, epoch: 2, sequence: 8 }),
            ..FrameHeader::default()
        };
        let mut bytes = Vec::new();
        header.append_frame(payload, &mut bytes);
        let stamped = Stamp { incarnation: 4, durable_end: Offset::new(6), seed: seed() };
        header.crc = stamp(&mut bytes, stamped);
        (header.incarnation, header.durable_end) = (4, Offset::new(6));
        (header, bytes)
    }

    #[test]
    fn a_frame_reads_back_and_is_padded_to_eight() {
        for len in [0, 1, 7, 8, 9, 1000] {
            let payload = vec![0xab; len];
            let (header, bytes) = frame(&payload);
            assert_eq!(bytes.len() % FRAME_ALIGN, 0);
            assert_eq!(bytes.len(), header.frame_bytes());
            assert_eq!(FrameHeader::decode(&bytes, seed()), Some(header));
            assert!(header.matches(&bytes[header.payload_at()..header.payload_end()]));
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (header, bytes) = frame(b"payload");
        for bit in 0..header.payload_end() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let same = FrameHeader::decode(&flipped, seed()) == Some(header)
                && header.matches(&flipped[header.payload_at()..header.payload_end()]);
            assert!(!same, "bit {bit}");
        }
    }

    #[test]
    fn zeros_and_frames_of_another_segment_are_invalid() {
        let (_, bytes) = frame(b"payload");
        assert_eq!(FrameHeader::decode(&[0; 200], seed()), None);
        for other in [
            Seed::new(LogId::from_bytes([2; 16]), Offset::ZERO, 5),
            Seed::new(LogId::from_bytes([1; 16]), Offset::new(1), 5),
            Seed::new(LogId::from_bytes([1; 16]), Offset::ZERO, 6),
        ] {
            assert_eq!(FrameHeader::decode(&bytes, other), None);
        }
    }
}
