//! How far a segment reached whose header is gone.
//!
//! Without the salt in the header no frame can be checked, so none of its records can be served.
//! But their offsets must not be given to others. Frames that still match the checksum of their
//! payload, which is not seeded, say how far they went.

use crate::log::error::{IoError, OpenError};
use crate::log::frame::{FRAME_ALIGN, FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader};
use crate::log::names;
use crate::log::offset::Offset;
use crate::log::recovery::Site;
use crate::log::width::{narrow, wide};

/// Read at once, in bytes.
const BLOCK_BYTES: usize = 1 << 20;

/// The highest offset that a frame in the store names as its end; that of the store's name if none
/// does.
pub(super) fn end(site: &Site<'_>, base: Offset) -> Result<Offset, OpenError> {
    let path = names::store(site.directory, base);
    let disk = &*site.engine.disk;
    let file = disk.open_to_read(&path).map_err(IoError::at("open", &path))?;
    let file_bytes = file.file_bytes().map_err(IoError::at("stat", &path))?;
    let read = |position: u64, bytes: usize| -> Result<Vec<u8>, IoError> {
        let mut block = vec![0; bytes];
        let read = file.read_at(&mut block, position).map_err(IoError::at("read", &path))?;
        block.truncate(read);
        Ok(block)
    };
    let (mut end, mut at) = (base, 0);
    while at < file_bytes {
        let block = read(at, BLOCK_BYTES)?;
        for (n, word) in block.chunks(FRAME_ALIGN).enumerate() {
            if !word.starts_with(&FRAME_MAGIC) {
                continue;
            }
            let position = at + wide(n * FRAME_ALIGN);
            let Some(header) = FrameHeader::claimed(&read(position, FRAME_HEADER_BYTES)?) else {
                continue;
            };
            let payload_at = position + wide(header.payload_at());
            let is_whole = payload_at + u64::from(header.payload_bytes) <= file_bytes;
            if is_whole
                && header.base >= end
                && !header.next_offset().is_out_of_reach()
                && header.matches(&read(payload_at, narrow(u64::from(header.payload_bytes)))?)
            {
                end = header.next_offset();
            }
        }
        at += wide(BLOCK_BYTES);
    }
    Ok(end)
}
