//! The files of a log, read and mended by `docs/FORMAT.md` alone: none of Varve's code is used, so
//! that both can be held against each other.
//!
//! Bytes that a fuzzer changed have a wrong checksum, and what stands behind the check is never
//! reached. So a target may have the checksums made right again.

use std::collections::HashSet;
use std::ops::Range;

const STORE_HEADER: usize = 64;
/// Where the first frame of a store stands.
pub const FIRST_FRAME: usize = 2 * STORE_HEADER;
const FRAME_HEADER: usize = 88;
const FOOTER: usize = 72;
const SLOT_COVERED: Range<usize> = 12..160;
const READERS_HEADER: usize = 64;
const READER_HEAD: usize = 40;

/// A batch as a store holds it: base offset, records, append time and payload.
pub type Batch = (u64, u32, u64, Vec<u8>);

/// A valid frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub base: u64,
    pub records: u32,
    pub append_time_us: u64,
    pub payload: Range<usize>,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?).into())
}

/// A number of four bytes.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A number of eight bytes.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// A length that fits 32 bits.
fn length_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, at)?).ok()
}

fn put_crc(bytes: &mut [u8], at: usize, crc: u32) {
    if let Some(field) = bytes.get_mut(at..at + 4) {
        field.copy_from_slice(&crc.to_le_bytes());
    }
}

/// What the checksums of a place begin with: 32 bytes.
pub fn seed(log_id: &[u8], base: u64, salt: u64) -> u32 {
    crc32c::crc32c(&[log_id, &base.to_le_bytes(), &salt.to_le_bytes()].concat())
}

/// The seed that one copy of a store's header names; valid or not.
fn seed_of(copy: &[u8]) -> Option<u32> {
    Some(seed(copy.get(24..40)?, u64_at(copy, 40)?, u64_at(copy, 48)?))
}

/// The frame at the start of `bytes`, if a valid one stands there.
pub fn frame(bytes: &[u8], seed: u32) -> Option<Frame> {
    let payload = header(bytes, seed)?;
    let is_valid = u32_at(bytes, 52)? == crc32c::crc32c(bytes.get(payload.clone())?);
    is_valid.then_some(Frame {
        base: u64_at(bytes, 16)?,
        records: u32_at(bytes, 12)?,
        append_time_us: u64_at(bytes, 24)?,
        payload,
    })
}

/// Where the payload lies of the frame at the start of `bytes`, if a valid header stands there.
fn header(bytes: &[u8], seed: u32) -> Option<Range<usize>> {
    let (header, payload) = extents(bytes)?;
    let crc = crc32c::crc32c_append(seed, bytes.get(8..header)?);
    (u32_at(bytes, 4)? == crc && u32_at(bytes, 12)? > 0).then_some(payload)
}

/// Where the header at the start of `bytes` ends and where its payload lies, whatever its
/// checksums are.
fn extents(bytes: &[u8]) -> Option<(usize, Range<usize>)> {
    if !bytes.starts_with(b"VFRM") {
        return None;
    }
    let header = FRAME_HEADER + u16_at(bytes, 50)?;
    Some((header, header..header + length_at(bytes, 8)?))
}

/// The log id and the seed of a store, if both copies of its header are valid and the same.
pub fn store_header(store: &[u8]) -> Option<(&[u8], u32)> {
    let copies = store.get(..FIRST_FRAME)?;
    let (first, second) = copies.split_at(STORE_HEADER);
    let is_valid = first == second && u32_at(first, 60)? == crc32c::crc32c(first.get(..60)?);
    Some((first.get(24..40)?, seed_of(first).filter(|_| is_valid)?))
}

/// Whether a valid copy of a store's header is that of a newer release.
pub fn is_newer(store: &[u8]) -> bool {
    valid_copies(store).any(|copy| u16_at(copy, 8) > Some(1) || u32_at(copy, 16) != Some(0))
}

/// The copies of a store's header that are valid.
fn valid_copies(store: &[u8]) -> impl Iterator<Item = &[u8]> {
    store.chunks_exact(STORE_HEADER).take(2).filter(|copy| {
        let crc = copy.get(..60).map(crc32c::crc32c);
        copy.starts_with(b"VARVESTO") && u32_at(copy, 60) == crc
    })
}

/// How many frames the footer at the start of `bytes` names, and which end, if a valid one stands
/// there.
pub fn footer(bytes: &[u8], seed: u32) -> Option<(u32, u64)> {
    let length = length_at(bytes, 8).filter(|n| bytes.starts_with(b"VFTR") && *n == FOOTER)?;
    let crc = crc32c::crc32c_append(seed, bytes.get(8..length)?);
    let is_valid = bytes.len() == length && u32_at(bytes, 4)? == crc && bytes.ends_with(b"VEND");
    Some((u32_at(bytes, 12)?, u64_at(bytes, 16).filter(|_| is_valid)?))
}

/// Whether the checksum of one slot of a checkpoint is right.
pub fn is_slot(slot: &[u8]) -> bool {
    let crc = slot.get(SLOT_COVERED).map(crc32c::crc32c);
    slot.starts_with(b"VARVECKP") && crc.is_some() && crc == u32_at(slot, 8)
}

/// Every batch that stands valid anywhere in a store, by either copy of its header.
pub fn batches(store: &[u8]) -> HashSet<Batch> {
    let mut found = HashSet::new();
    for seed in valid_copies(store).filter_map(seed_of) {
        for at in (0..store.len()).step_by(8) {
            let bytes = store.get(at..).unwrap_or_default();
            if let Some(frame) = frame(bytes, seed) {
                let payload = bytes.get(frame.payload).unwrap_or_default().to_vec();
                found.insert((frame.base, frame.records, frame.append_time_us, payload));
            }
        }
    }
    found
}

/// Whether no frame of a store that has a valid header goes back behind another or begins inside
/// it; of frames whose payload is valid too, if these alone count.
pub fn is_in_order(store: &[u8], whole_alone: bool) -> bool {
    let Some(seed) = valid_copies(store).find_map(seed_of) else { return true };
    let (mut end, mut incarnation, mut free_from) = (0, 0, 0);
    for at in (FIRST_FRAME..store.len()).step_by(8) {
        let bytes = store.get(at..).unwrap_or_default();
        let Some(payload) = header(bytes, seed) else { continue };
        if whole_alone && frame(bytes, seed).is_none() {
            continue;
        }
        let (Some(base), Some(records)) = (u64_at(bytes, 16), u32_at(bytes, 12)) else { continue };
        let now = u64_at(bytes, 32).unwrap_or_default();
        if base < end || now < incarnation || at < free_from {
            return false;
        }
        (end, incarnation) = (base.saturating_add(records.into()), now);
        free_from = at + payload.end;
    }
    true
}

/// Makes the checksums of the frame at the start of `bytes` right, as far as it lies in them.
/// Returns its length with the padding, or `None` if that is not so.
pub fn mend_frame(bytes: &mut [u8], seed: u32) -> Option<usize> {
    let (header, payload) = extents(bytes)?;
    let end = payload.end;
    let crc = crc32c::crc32c(bytes.get(payload)?);
    put_crc(bytes, 52, crc);
    let crc = crc32c::crc32c_append(seed, bytes.get(8..header)?);
    put_crc(bytes, 4, crc);
    Some(end.next_multiple_of(8))
}

fn mend_footer(bytes: &mut [u8], seed: u32) -> Option<usize> {
    let length = length_at(bytes, 8).filter(|n| bytes.starts_with(b"VFTR") && *n >= FOOTER)?;
    let crc = crc32c::crc32c_append(seed, bytes.get(8..length)?);
    put_crc(bytes, 4, crc);
    Some(length)
}

/// Makes the checksums of a store's header, frames and footer right.
pub fn mend_store(store: &mut [u8]) {
    for copy in store.chunks_exact_mut(STORE_HEADER).take(2) {
        let crc = crc32c::crc32c(copy.get(..60).unwrap_or_default());
        put_crc(copy, 60, crc);
    }
    let Some(seed) = seed_of(store) else { return };
    let mut at = FIRST_FRAME;
    while let Some(rest) = store.get_mut(at..).filter(|rest| !rest.is_empty()) {
        let length = mend_frame(rest, seed).or_else(|| mend_footer(rest, seed));
        at += length.map_or(8, |length| length.next_multiple_of(8));
    }
}

/// Makes the checksum of one slot of a checkpoint right.
pub fn mend_slot(slot: &mut [u8]) {
    if let Some(covered) = slot.get(SLOT_COVERED) {
        let crc = crc32c::crc32c(covered);
        put_crc(slot, 8, crc);
    }
}

/// Makes the checksum of a file of producers right.
pub fn mend_producers(file: &mut [u8]) {
    if let Some(at) = file.len().checked_sub(8) {
        let crc = crc32c::crc32c(file.get(..at).unwrap_or_default());
        put_crc(file, at, crc);
    }
}

/// Makes the checksums of a file of readers right.
pub fn mend_readers(file: &mut [u8]) {
    let Some(header) = file.get_mut(..READERS_HEADER) else { return };
    let crc = crc32c::crc32c(header.get(..60).unwrap_or_default());
    put_crc(header, 60, crc);
    let (id, salt) = (header.get(16..32).unwrap_or_default().to_vec(), u64_at(header, 32));
    let mut at = READERS_HEADER;
    while let Some(entry) = file.get_mut(at..).filter(|rest| rest.starts_with(b"VRDR")) {
        let length = u16_at(entry, 8).unwrap_or_default();
        let position = u64::try_from(at).unwrap_or_default();
        let seed = seed(&id, position, salt.unwrap_or_default());
        let Some(covered) = entry.get(8..length).filter(|_| length >= READER_HEAD) else { return };
        let crc = crc32c::crc32c_append(seed, covered);
        put_crc(entry, 4, crc);
        at += length;
    }
}

/// Puts a right last line under the lines of a meta file or a clock.
pub fn mend_lines(file: &mut Vec<u8>) {
    let last = b"crc32c = ";
    let at = file.windows(last.len()).rposition(|place| place == last).unwrap_or(file.len());
    file.truncate(at);
    let crc = crc32c::crc32c(file);
    file.extend_from_slice(last);
    file.extend_from_slice(format!("{crc:08x}\n").as_bytes());
}
