//! The starting value of every checksum in a segment.
//!
//! A CRC that starts from the log's id, the segment's base offset and its random salt makes a frame
//! valid in one place only: bytes of another log, of another segment or of an earlier file that had
//! the same blocks never pass. CRC32C is the Castagnoli polynomial (RFC 3720, appendix B.4).

use std::path::Path;

use super::error::IoError;
use super::offset::{LogId, Offset};

/// Seeds the checksums of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    /// The seed of the segment of `log` that begins at `base` and has this `salt`.
    pub(crate) fn new(log: LogId, base: Offset, salt: u64) -> Self {
        let crc = crc32c::crc32c(&log.bytes());
        let crc = crc32c::crc32c_append(crc, &base.get().to_le_bytes());
        Self(crc32c::crc32c_append(crc, &salt.to_le_bytes()))
    }

    /// The checksum of `bytes` in this segment.
    pub(crate) fn crc(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.0, bytes)
    }
}

/// A salt that no client can foresee, so that nothing a client sends can imitate what is seeded.
pub(crate) fn salt() -> Result<u64, IoError> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| IoError::at("read", Path::new("getrandom"))(e.into()))?;
    Ok(u64::from_le_bytes(bytes))
}
