//! Reads fixed-size little-endian fields off the front of a byte slice, and finds the zeros at its
//! end.
//!
//! Every structure on disk is decoded through this; a slice that is too short gives `None`, never a
//! panic.

/// A slice that is consumed field by field.
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all fields were read.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `N` bytes as they stand.
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*field)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// How many bytes there are up to the last that is not zero. Looks at 64 at a time, which the
/// compiler turns into a few instructions.
pub(crate) fn until_zeros(bytes: &[u8]) -> usize {
    let is_used = |piece: &[u8]| piece.iter().fold(0, |all, byte| all | byte) != 0;
    let Some(piece) = bytes.chunks(64).rposition(is_used) else { return 0 };
    let within = bytes.iter().skip(piece * 64).take(64).rposition(|byte| *byte != 0);
    piece * 64 + within.map_or(0, |last| last + 1)
}
