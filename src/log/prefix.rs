//! The first frames of a store, sealed as a store of their own.

use std::path::Path;

use super::disk::File;
use super::error::IoError;
use super::footer::Footer;
use super::frame::FRAME_ALIGN;
use super::offset::Offset;
use super::reached::Reached;
use super::scan::{Found, Scan};
use super::store::Store;
use super::store_header::STORE_HEADER_BYTES;
use super::width::wide;

/// Written at once, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// Writes the header, the frames that recovery accepts below `readable`, and a footer that says
/// what `footer` does beside what the frames amount to.
pub(crate) fn copy(
    old: &Store,
    (file, path): (&dyn File, &Path),
    readable: Offset,
    mut footer: Footer,
) -> Result<(), IoError> {
    let mut bytes = old.header_bytes()?;
    let mut at = 0;
    let mut reached = Reached::nothing(Offset::ZERO).within(readable);
    let mut scan = Scan::verified(old, wide(STORE_HEADER_BYTES))?;
    loop {
        match scan.next()? {
            Found::Frame { position, header, intact } => {
                if !intact || !reached.take(&header) {
                    continue;
                }
                if footer.frames == 0 {
                    footer.first_time_us = header.append_time_us;
                }
                footer.frames += 1;
                footer.last_time_us = header.append_time_us;
                let crc = header.crc.to_le_bytes();
                footer.segment_crc = crc32c::crc32c_append(footer.segment_crc, &crc);
                bytes.extend(old.read(position, header.payload_end())?);
                bytes.resize(bytes.len().next_multiple_of(FRAME_ALIGN), 0);
                if bytes.len() >= PIECE_BYTES {
                    file.write_at(&bytes, at).map_err(IoError::at("write", path))?;
                    at += wide(bytes.len());
                    bytes.clear();
                }
            }
            Found::Footer { .. } => break,
            Found::Nothing { .. } => {
                if !scan.resync()? {
                    break;
                }
            }
        }
    }
    footer.position = at + wide(bytes.len());
    bytes.extend(footer.encode(old.seed()));
    file.write_at(&bytes, at).map_err(IoError::at("write", path))
}
