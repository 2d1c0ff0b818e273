//! The first 128 bytes of a store file: which log and segment it belongs to, and its format.
//!
//! The header stands there twice, 64 bytes each, because without its salt no frame can be checked:
//! one damaged copy costs nothing. It is durable before the file gets its name, so a named store
//! without a valid header is damaged, never torn.
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `VARVESTO` |
//! | 8 | 2 | format version |
//! | 10 | 2 | length of one copy, 64 |
//! | 12 | 4 | compatible feature flags |
//! | 16 | 4 | incompatible feature flags |
//! | 20 | 4 | zero |
//! | 24 | 16 | log id |
//! | 40 | 8 | base offset |
//! | 48 | 8 | salt |
//! | 56 | 4 | zero |
//! | 60 | 4 | CRC32C of bytes 0 to 59 |

use super::codec::Decoder;
use super::offset::{LogId, Offset};
use super::seed::Seed;

/// The length of both copies, and so the position of the first frame.
pub(crate) const STORE_HEADER_BYTES: usize = 2 * COPY_BYTES;
/// The newest format that this release reads, and the one that it writes.
pub const FORMAT_VERSION: u16 = 1;
const MAGIC: [u8; 8] = *b"VARVESTO";
const COPY_BYTES: usize = 64;
const CRC_AT: usize = 60;

/// What a store file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreHeader {
    pub(crate) log_id: LogId,
    pub(crate) base: Offset,
    pub(crate) salt: u64,
}

/// Why a header is none that this release can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// The bytes are no header: cut short, another file, or damaged.
    Unreadable,
    /// A valid header of a newer format, with what it asks for.
    Newer(String),
}

impl StoreHeader {
    pub(crate) fn seed(&self) -> Seed {
        Seed::new(self.log_id, self.base, self.salt)
    }

    /// Both copies.
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.encode_copy().repeat(2)
    }

    fn encode_copy(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(COPY_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&64_u16.to_le_bytes());
        out.extend_from_slice(&[0; 12]);
        out.extend_from_slice(&self.log_id.bytes());
        out.extend_from_slice(&self.base.get().to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// Reads a header from the start of a file.
    ///
    /// # Errors
    ///
    /// `Newer` only if the checksum holds, so that damage is never taken for a newer format.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        bytes
            .chunks_exact(COPY_BYTES)
            .take(2)
            .find_map(Self::decode_copy)
            .unwrap_or(Err(HeaderFault::Unreadable))
    }

    /// Where a copy stands that is not valid, if one is.
    pub(crate) fn damaged_copy(bytes: &[u8]) -> Option<usize> {
        let copies = (0..2).map(|n| (n * COPY_BYTES, bytes.get(n * COPY_BYTES..)));
        let is_valid = |copy: Option<&[u8]>| {
            copy.and_then(|copy| copy.get(..COPY_BYTES)).and_then(Self::decode_copy).is_some()
        };
        copies.filter(|(_, copy)| !is_valid(*copy)).map(|(at, _)| at).next()
    }

    fn decode_copy(bytes: &[u8]) -> Option<Result<Self, HeaderFault>> {
        let covered = bytes.get(..CRC_AT)?;
        let crc = Decoder::new(bytes.get(CRC_AT..)?).u32()?;
        let mut fields = Decoder::new(bytes);
        if fields.array()? != MAGIC || crc32c::crc32c(covered) != crc {
            return None;
        }
        let version = fields.u16()?;
        let _header_bytes = fields.u16()?;
        let _compatible = fields.u32()?;
        let incompatible = fields.u32()?;
        if version > FORMAT_VERSION {
            return Some(Err(HeaderFault::Newer(format!("version {version}"))));
        }
        if incompatible != 0 {
            return Some(Err(HeaderFault::Newer(format!("features {incompatible:#010x}"))));
        }
        let _zero = fields.u32()?;
        let log_id = LogId::from_bytes(fields.array()?);
        let base = Offset::new(fields.u64()?);
        let salt = fields.u64()?;
        Some(Ok(Self { log_id, base, salt }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> StoreHeader {
        StoreHeader { log_id: LogId::from_bytes([7; 16]), base: Offset::new(42), salt: 99 }
    }

    #[test]
    fn a_header_reads_back() {
        let bytes = header().encode();
        assert_eq!(bytes.len(), STORE_HEADER_BYTES);
        assert_eq!(StoreHeader::decode(&bytes), Ok(header()));
    }

    #[test]
    fn one_damaged_copy_is_passed_over_and_two_are_refused() {
        let bytes = header().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(StoreHeader::decode(&flipped), Ok(header()), "bit {bit}");
            flipped[(bit / 8 + COPY_BYTES) % bytes.len()] ^= 1;
            assert_eq!(StoreHeader::decode(&flipped), Err(HeaderFault::Unreadable), "bit {bit}");
        }
        for len in 0..COPY_BYTES {
            assert_eq!(StoreHeader::decode(&bytes[..len]), Err(HeaderFault::Unreadable));
        }
    }

    #[test]
    fn newer_versions_and_unknown_features_are_named() {
        for (at, value, expected) in [(8, 2, "version 2"), (16, 4, "features 0x00000004")] {
            let mut bytes = header().encode_copy();
            bytes[at] = value;
            let crc = crc32c::crc32c(&bytes[..CRC_AT]).to_le_bytes();
            bytes[CRC_AT..].copy_from_slice(&crc);
            assert_eq!(StoreHeader::decode(&bytes), Err(HeaderFault::Newer(expected.into())));
        }
    }
}
