//! The footer that seals a store file: what its frames amount to.
//!
//! It stands where the next frame would, and the file ends with it.
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `VFTR` |
//! | 4 | 4 | seeded CRC32C of bytes 8 to the end |
//! | 8 | 4 | length of the footer, a multiple of 8 |
//! | 12 | 4 | frames in the segment |
//! | 16 | 8 | end offset |
//! | 24 | 8 | append time of the first frame |
//! | 32 | 8 | append time of the last frame |
//! | 40 | 8 | incarnation of the last frame |
//! | 48 | 8 | position of the footer |
//! | 56 | 4 | CRC32C of the segment: of every frame header's CRC, in order |
//! | 60 | 4 | flags, zero |
//! | 64 | 0 or more | extension (none yet) |
//! | end - 8 | 4 | length of the footer again |
//! | end - 4 | 4 | magic `VEND` |
//!
//! A header's CRC covers its payload's, so the CRC of the segment binds every byte of its frames.

use super::codec::Decoder;
use super::frame::can_stand_before;
use super::offset::Offset;
use super::seed::Seed;
use super::width::{narrow, wide};

/// The length of a footer without extension.
pub(crate) const FOOTER_BYTES: usize = 72;
const MAGIC: [u8; 4] = *b"VFTR";
const END_MAGIC: [u8; 4] = *b"VEND";
/// The last bytes of a footer, with which it is found from the end of the file.
const TRAILER_BYTES: usize = 8;
/// No footer is longer; a damaged length is not followed further.
const FOOTER_BYTES_MAX: u32 = 64 << 20;
const COVERED_FROM: usize = 8;

/// What a sealed segment says of its frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) frames: u32,
    pub(crate) end: Offset,
    pub(crate) first_time_us: u64,
    pub(crate) last_time_us: u64,
    pub(crate) incarnation: u64,
    pub(crate) position: u64,
    pub(crate) segment_crc: u32,
}

impl Footer {
    pub(crate) fn encode(&self, seed: Seed) -> Vec<u8> {
        let mut covered = Vec::with_capacity(FOOTER_BYTES);
        let length = 72_u32.to_le_bytes();
        covered.extend_from_slice(&length);
        covered.extend_from_slice(&self.frames.to_le_bytes());
        covered.extend_from_slice(&self.end.get().to_le_bytes());
        covered.extend_from_slice(&self.first_time_us.to_le_bytes());
        covered.extend_from_slice(&self.last_time_us.to_le_bytes());
        covered.extend_from_slice(&self.incarnation.to_le_bytes());
        covered.extend_from_slice(&self.position.to_le_bytes());
        covered.extend_from_slice(&self.segment_crc.to_le_bytes());
        covered.extend_from_slice(&[0; 4]);
        covered.extend_from_slice(&length);
        covered.extend_from_slice(&END_MAGIC);
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&seed.crc(&covered).to_le_bytes());
        out.append(&mut covered);
        out
    }

    /// Reads the footer that is the whole of `bytes`.
    pub(crate) fn decode(bytes: &[u8], seed: Seed) -> Option<Self> {
        let mut fields = Decoder::new(bytes);
        if fields.array()? != MAGIC {
            return None;
        }
        let crc = fields.u32()?;
        if narrow(u64::from(fields.u32()?)) != bytes.len() || bytes.len() < FOOTER_BYTES {
            return None;
        }
        let footer = Self {
            frames: fields.u32()?,
            end: Offset::new(fields.u64()?),
            first_time_us: fields.u64()?,
            last_time_us: fields.u64()?,
            incarnation: fields.u64()?,
            position: fields.u64()?,
            segment_crc: fields.u32()?,
        };
        // Nobody makes room for frames that nobody can have written.
        let is_possible = can_stand_before(footer.position, footer.frames);
        (is_possible && seed.crc(bytes.get(COVERED_FROM..)?) == crc).then_some(footer)
    }

    /// Where a footer would begin in a file of `file_bytes` whose last eight bytes are `trailer`.
    pub(crate) fn position_from_end(trailer: &[u8], file_bytes: u64) -> Option<u64> {
        let mut fields = Decoder::new(trailer);
        let length = fields.u32()?;
        if fields.array()? != END_MAGIC || length > FOOTER_BYTES_MAX {
            return None;
        }
        file_bytes.checked_sub(u64::from(length))
    }

    /// How many bytes at the end of a file tell where its footer begins.
    pub(crate) fn trailer_bytes() -> u64 {
        wide(TRAILER_BYTES)
    }

    /// Whether `word` begins as a footer does.
    pub(crate) fn may_start(word: &[u8]) -> bool {
        word.starts_with(&MAGIC)
    }

    /// The length that the footer at the start of `bytes` claims, if one may start there.
    pub(crate) fn claimed_bytes(bytes: &[u8]) -> Option<u64> {
        let mut fields = Decoder::new(bytes);
        if fields.array()? != MAGIC {
            return None;
        }
        let _crc = fields.u32()?;
        fields.u32().filter(|length| *length <= FOOTER_BYTES_MAX).map(u64::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::offset::LogId;

    #[test]
    fn a_footer_reads_back_is_found_from_the_end_and_notices_every_flip() {
        let seed = Seed::new(LogId::from_bytes([1; 16]), Offset::new(7), 3);
        let footer = Footer { frames: 3, end: Offset::new(9), position: 640, ..Footer::default() };
        let bytes = footer.encode(seed);
        assert_eq!(bytes.len(), FOOTER_BYTES);
        assert_eq!(Footer::decode(&bytes, seed), Some(footer));
        let file_bytes = 640 + wide(bytes.len());
        let trailer = &bytes[bytes.len() - TRAILER_BYTES..];
        assert_eq!(Footer::position_from_end(trailer, file_bytes), Some(640));
        for frames in [6, u32::MAX] {
            let more = Footer { frames, ..footer }.encode(seed);
            assert_eq!(Footer::decode(&more, seed), None, "{frames} have no room before it");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Footer::decode(&flipped, seed), None, "bit {bit}");
        }
    }
}
