//! The two conversions between memory sizes and file sizes, checked once for the platform.

const _: () =
    assert!(usize::BITS == 64, "Varve keeps file positions in memory sizes: 64 bits only");

/// A memory size as a file size.
#[allow(clippy::as_conversions)] // Lossless: both have 64 bits, asserted above.
pub(crate) const fn wide(n: usize) -> u64 {
    n as u64
}

/// A file size as a memory size.
#[allow(clippy::as_conversions)] // Lossless: both have 64 bits, asserted above.
pub(crate) const fn narrow(n: u64) -> usize {
    n as usize
}
