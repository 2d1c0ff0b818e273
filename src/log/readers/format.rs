//! The bytes of a log's `readers` file: a header, then a journal of changes, then zeros.
//!
//! The header, 64 bytes:
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `VARVERDR` |
//! | 8 | 2 | format version, 1 |
//! | 10 | 2 | length of the header, 64 |
//! | 12 | 4 | zero |
//! | 16 | 16 | log id |
//! | 32 | 8 | salt, random |
//! | 40 | 8 | capacity: the length of the file |
//! | 48 | 8 | position up to which entries were written with the header |
//! | 56 | 4 | zero |
//! | 60 | 4 | CRC32C of bytes 0 to 59 |
//!
//! An entry, right behind the one before:
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `VRDR` |
//! | 4 | 4 | seeded CRC32C of bytes 8 to the end of the entry |
//! | 8 | 2 | length of the entry, a multiple of 8 |
//! | 10 | 1 | 1: the reader stands here; 2: it was deleted |
//! | 11 | 1 | length *n* of the name |
//! | 12 | 1 | length *m* of the owner |
//! | 13 | 3 | zero |
//! | 16 | 8 | offset |
//! | 24 | 8 | commit time |
//! | 32 | 8 | durable end: a position; all before it was on disk when the entry was written |
//! | 40 | *n* + *m* | name and owner, then zeros up to the multiple of 8 |
//!
//! The seed is made of the log id, the entry's own position and the salt, so that an entry is valid
//! in one place of one file only.

use std::ops::Range;

use super::{Live, Reader};
use crate::log::codec::{Decoder, until_zeros};
use crate::log::names::ReaderName;
use crate::log::offset::{LogId, Offset};
use crate::log::seed::Seed;
use crate::log::width::{narrow, wide};

pub(super) const HEADER_BYTES: usize = 64;
/// The longest owner, in bytes.
pub(super) const OWNER_BYTES_MAX: usize = 255;
const MAGIC: [u8; 8] = *b"VARVERDR";
const VERSION: u16 = 1;
const HEADER_CRC_AT: usize = 60;
const ENTRY_MAGIC: [u8; 4] = *b"VRDR";
const ENTRY_HEAD_BYTES: usize = 40;
const ENTRY_ALIGN: usize = 8;
const COVERED_FROM: usize = 8;
const STANDS: u8 = 1;
const DELETED: u8 = 2;

/// What makes the entries of one file its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) log_id: LogId,
    pub(super) salt: u64,
}

impl Identity {
    fn seed(self, position: usize) -> Seed {
        Seed::new(self.log_id, Offset::new(wide(position)), self.salt)
    }
}

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) identity: Identity,
    pub(super) readers: Live,
    /// Where the next entry goes.
    pub(super) end: usize,
    /// Bytes behind the end that are not zero: entries that were never known to be durable.
    pub(super) torn_bytes: usize,
}

/// Appends the entry of `change` to `bytes`, which are those of the file from `begin` on.
pub(super) fn put_entry(
    bytes: &mut Vec<u8>,
    (begin, durable): (usize, usize),
    identity: Identity,
    (name, reader): (&ReaderName, Option<&Reader>),
) {
    let from = bytes.len();
    let owner = reader.map_or("", |reader| reader.owner.as_str());
    let entry_bytes = entry_bytes(name, owner);
    // Both are bounded: a name by its form, an owner before it gets here.
    let short = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
    bytes.extend_from_slice(&ENTRY_MAGIC);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&u16::try_from(entry_bytes).unwrap_or(u16::MAX).to_le_bytes());
    bytes.push(if reader.is_some() { STANDS } else { DELETED });
    bytes.extend_from_slice(&[short(name.as_str().len()), short(owner.len()), 0, 0, 0]);
    let (offset, time_us) = reader.map_or((0, 0), |r| (r.offset.get(), r.commit_time_us));
    for field in [offset, time_us, wide(durable)] {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    bytes.extend_from_slice(name.as_str().as_bytes());
    bytes.extend_from_slice(owner.as_bytes());
    bytes.resize(from + entry_bytes, 0);
    let crc = identity.seed(begin + from).crc(bytes.get(from + COVERED_FROM..).unwrap_or_default());
    if let Some(field) = bytes.get_mut(from + 4..from + COVERED_FROM) {
        field.copy_from_slice(&crc.to_le_bytes());
    }
}

/// How many bytes the entry of a reader takes.
pub(super) fn entry_bytes(name: &ReaderName, owner: &str) -> usize {
    (ENTRY_HEAD_BYTES + name.as_str().len() + owner.len()).next_multiple_of(ENTRY_ALIGN)
}

/// A whole file of `capacity` bytes that holds `readers`, and where its entries end.
pub(super) fn encode(identity: Identity, readers: &Live, capacity: usize) -> (Vec<u8>, usize) {
    let mut bytes = vec![0; HEADER_BYTES];
    for (name, reader) in readers {
        put_entry(&mut bytes, (0, 0), identity, (name, Some(reader)));
    }
    let end = bytes.len();
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&64_u16.to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    header.extend_from_slice(&identity.log_id.bytes());
    for field in [identity.salt, wide(capacity), wide(end)] {
        header.extend_from_slice(&field.to_le_bytes());
    }
    header.extend_from_slice(&[0; 4]);
    header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
    bytes.splice(..HEADER_BYTES, header);
    bytes.resize(capacity, 0);
    (bytes, end)
}

/// Reads a whole file of the log `log_id`.
///
/// # Errors
///
/// What is wrong with it: it is damaged, or none that this release reads.
pub(super) fn decode(bytes: &[u8], log_id: LogId) -> Result<Contents, String> {
    let (identity, written_until) = decode_header(bytes, log_id)?;
    let mut readers = Live::new();
    let mut end = HEADER_BYTES;
    while let Some(entry) = decode_entry(bytes, end, identity) {
        match entry.reader {
            Some(reader) => readers.insert(entry.name, reader),
            None => readers.remove(&entry.name),
        };
        end += entry.bytes;
    }
    // Most of a file is zeros.
    let torn_bytes = until_zeros(bytes.get(end..).unwrap_or_default());
    let durable = durable_behind(bytes, end..end + torn_bytes, identity).max(written_until);
    if durable > end {
        return Err(format!("what stands at {end} is no entry, and {durable} bytes were durable"));
    }
    Ok(Contents { identity, readers, end, torn_bytes })
}

fn decode_header(bytes: &[u8], log_id: LogId) -> Result<(Identity, usize), String> {
    let damaged = || "its header is damaged".to_owned();
    let mut fields = Decoder::new(bytes);
    let magic: [u8; 8] = fields.array().ok_or_else(damaged)?;
    let covered = bytes.get(..HEADER_CRC_AT).ok_or_else(damaged)?;
    let crc = Decoder::new(bytes.get(HEADER_CRC_AT..).unwrap_or_default()).u32();
    if magic != MAGIC || crc != Some(crc32c::crc32c(covered)) {
        return Err(damaged());
    }
    let version = fields.u16().ok_or_else(damaged)?;
    if version != VERSION {
        return Err(format!("it has format {version}, and this release reads {VERSION}"));
    }
    let _length_and_zero: [u8; 6] = fields.array().ok_or_else(damaged)?;
    let stored_id = LogId::from_bytes(fields.array().ok_or_else(damaged)?);
    if stored_id != log_id {
        return Err(format!("it is that of the log {stored_id}, and this is {log_id}"));
    }
    let salt = fields.u64().ok_or_else(damaged)?;
    let capacity = fields.u64().ok_or_else(damaged)?;
    let written_until = narrow(fields.u64().ok_or_else(damaged)?);
    if capacity != wide(bytes.len()) {
        return Err(format!("it has {} bytes and should have {capacity}", bytes.len()));
    }
    Ok((Identity { log_id, salt }, written_until))
}

struct Entry {
    name: ReaderName,
    /// Where it stands; `None` if it was deleted.
    reader: Option<Reader>,
    durable: usize,
    bytes: usize,
}

/// The valid entry at `position`, if one stands there.
fn decode_entry(file: &[u8], position: usize, identity: Identity) -> Option<Entry> {
    let rest = file.get(position..)?;
    let mut fields = Decoder::new(rest);
    if fields.array()? != ENTRY_MAGIC {
        return None;
    }
    let crc = fields.u32()?;
    let bytes = usize::from(fields.u16()?);
    let covered = rest.get(COVERED_FROM..bytes)?;
    if identity.seed(position).crc(covered) != crc {
        return None;
    }
    let [what, name_bytes, owner_bytes, ..]: [u8; 6] = fields.array()?;
    let offset = Offset::new(fields.u64()?);
    let commit_time_us = fields.u64()?;
    let durable = narrow(fields.u64()?);
    let texts = rest.get(ENTRY_HEAD_BYTES..bytes)?;
    let (name, texts) = texts.split_at_checked(usize::from(name_bytes))?;
    let owner = texts.get(..usize::from(owner_bytes))?;
    let name = ReaderName::parse(str::from_utf8(name).ok()?).ok()?;
    let reader = match what {
        STANDS => {
            let owner = str::from_utf8(owner).ok()?.to_owned();
            Some(Reader { name: name.clone(), offset, owner, commit_time_us })
        }
        DELETED => None,
        _ => return None,
    };
    Some(Entry { name, reader, durable, bytes })
}

/// The highest durable end that a valid entry within `rest`, but not at its start, names; 0 if
/// there is none.
fn durable_behind(file: &[u8], rest: Range<usize>, identity: Identity) -> usize {
    (rest.start + ENTRY_ALIGN..rest.end)
        .step_by(ENTRY_ALIGN)
        .filter_map(|at| decode_entry(file, at, identity))
        .map(|entry| entry.durable)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: LogId = LogId::from_bytes([7; 16]);
    const IDENTITY: Identity = Identity { log_id: ID, salt: 9 };

    fn reader(name: &str, offset: u64) -> Reader {
        let name = ReaderName::parse(name).unwrap();
        let offset = Offset::new(offset);
        Reader { name, offset, owner: "spiffe://a/b".to_owned(), commit_time_us: 5 }
    }

    fn map(readers: &[Reader]) -> Live {
        readers.iter().map(|reader| (reader.name.clone(), reader.clone())).collect()
    }

    /// A file that was written with one reader and got two entries after that, each durable before
    /// the next.
    fn journal() -> (Vec<u8>, Vec<usize>) {
        let (mut file, first) = encode(IDENTITY, &map(&[reader("a", 1)]), 4096);
        let mut ends = vec![first];
        for change in [reader("b", 2), reader("a", 3)] {
            let end = *ends.last().unwrap();
            let mut bytes = Vec::new();
            put_entry(&mut bytes, (end, end), IDENTITY, (&change.name, Some(&change)));
            file[end..end + bytes.len()].copy_from_slice(&bytes);
            ends.push(end + bytes.len());
        }
        (file, ends)
    }

    #[test]
    fn a_file_reads_back_with_the_last_entry_of_each_reader() {
        let (file, ends) = journal();
        let contents = decode(&file, ID).unwrap();
        assert_eq!(contents.readers, map(&[reader("a", 3), reader("b", 2)]));
        assert_eq!((contents.end, contents.torn_bytes), (ends[2], 0));
    }

    #[test]
    fn a_deletion_is_an_entry() {
        let (mut file, ends) = journal();
        let mut bytes = Vec::new();
        let gone = ReaderName::parse("a").unwrap();
        put_entry(&mut bytes, (ends[2], ends[2]), IDENTITY, (&gone, None));
        file[ends[2]..ends[2] + bytes.len()].copy_from_slice(&bytes);
        assert_eq!(decode(&file, ID).unwrap().readers, map(&[reader("b", 2)]));
    }

    #[test]
    fn a_flipped_bit_is_damage_but_in_the_last_entry_which_nothing_vouches_for() {
        let (file, ends) = journal();
        for bit in 0..ends[2] * 8 {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match decode(&flipped, ID) {
                Err(_) => assert!(bit / 8 < ends[1], "byte {}", bit / 8),
                Ok(found) => {
                    assert!(bit / 8 >= ends[1], "byte {}", bit / 8);
                    assert_eq!(found.readers, map(&[reader("a", 1), reader("b", 2)]));
                    assert_eq!((found.end, found.torn_bytes > 0), (ends[1], true));
                }
            }
        }
    }

    #[test]
    fn a_file_of_another_length_log_or_place_is_refused() {
        let (file, _) = journal();
        assert!(decode(&file[..4000], ID).is_err());
        assert!(decode(&[&file[..], &[0; 8]].concat(), ID).is_err());
        assert!(decode(&file, LogId::from_bytes([8; 16])).is_err());
        assert!(decode(&[0; 4096], ID).is_err());
        assert!(decode(&[], ID).is_err());
    }

    #[test]
    fn an_entry_is_valid_in_its_own_place_only() {
        let (file, ends) = journal();
        let mut moved = file.clone();
        moved.copy_within(ends[0]..ends[1], ends[2]);
        let found = decode(&moved, ID).unwrap();
        assert_eq!((found.end, found.torn_bytes > 0), (ends[2], true));
    }
}
