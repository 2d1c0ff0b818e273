//! The file `producers`: what a log knows of its producers, as of an offset.
//!
//! It is written whole under another name, made durable and renamed, off the way of an
//! acknowledgement. It need not be the newest: the frames from its offset on tell the rest. So it
//! is not in a footer, where it would delay the append that rolls a segment and could be larger
//! than the segment, nor in a slot of the checkpoint, which is small and written each second.
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `VARVEPRD` |
//! | 8 | 2 | format version, 1 |
//! | 10 | 6 | zero |
//! | 16 | 16 | log id |
//! | 32 | 8 | offset: all batches below it are in here |
//! | 40 | 8 | position in its store of the frame that begins there, if there is one |
//! | 48 | | producers, in the order of their ids |
//! | end - 8 | 4 | CRC32C of all bytes before it |
//! | end - 4 | 4 | magic `VEND` |
//!
//! A producer is its id (16 bytes), its epoch (4), how many batches follow (4) and the sequence
//! that comes next (8); then, oldest first, of each batch the base offset (8), its records (4) and
//! the CRC32C of its payload (4). Producers are copied a few at a time while appends go on, so one
//! may hold batches from the offset on: replaying a frame that is known changes nothing.

use std::path::{Path, PathBuf};

use super::Producers;
use super::window::{Remembered, Window};
use crate::log::codec::Decoder;
use crate::log::disk::{Disk, File};
use crate::log::error::{IoError, OpenError, SYNC};
use crate::log::names;
use crate::log::offset::{LogId, Offset};
use crate::log::producer::ProducerId;
use crate::log::width::{narrow, wide};

const MAGIC: [u8; 8] = *b"VARVEPRD";
const END_MAGIC: [u8; 4] = *b"VEND";
const VERSION: u16 = 1;
const TRAILER_BYTES: usize = 8;
/// Bytes that are written at once.
const WRITE_BYTES: usize = 1 << 20;

/// A file that is being written. Dropped before its end it leaves a file that a start removes.
#[derive(Debug)]
pub(crate) struct ProducersFile<'a> {
    disk: &'a dyn Disk,
    directory: &'a Path,
    building: PathBuf,
    file: Box<dyn File>,
    position: u64,
    crc: u32,
    bytes: Vec<u8>,
}

impl<'a> ProducersFile<'a> {
    /// Begins a file that stands for all batches of `log` below `offset`, whose frame, if there is
    /// one, stands at `position`.
    pub(crate) fn begin(
        disk: &'a dyn Disk,
        directory: &'a Path,
        log: LogId,
        (offset, position): (Offset, u64),
    ) -> Result<Self, IoError> {
        let building = names::new_producers(directory);
        // Left over from an attempt that found no space; absent in most cases.
        let _absent = disk.remove(&building);
        let file = disk.create(&building).map_err(IoError::at("create", &building))?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 6]);
        bytes.extend_from_slice(&log.bytes());
        bytes.extend_from_slice(&offset.get().to_le_bytes());
        bytes.extend_from_slice(&position.to_le_bytes());
        Ok(Self { disk, directory, building, file, position: 0, crc: 0, bytes })
    }

    /// Adds a producer; they come in the order of their ids.
    pub(crate) fn put(&mut self, id: ProducerId, durable: &Window) -> Result<(), IoError> {
        self.bytes.extend_from_slice(&id.bytes());
        self.bytes.extend_from_slice(&durable.epoch.to_le_bytes());
        let batches = u32::try_from(durable.batches.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&batches.to_le_bytes());
        self.bytes.extend_from_slice(&durable.next.to_le_bytes());
        for batch in &durable.batches {
            self.bytes.extend_from_slice(&batch.base.get().to_le_bytes());
            self.bytes.extend_from_slice(&batch.records.to_le_bytes());
            self.bytes.extend_from_slice(&batch.payload_crc.to_le_bytes());
        }
        if self.bytes.len() < WRITE_BYTES {
            return Ok(());
        }
        self.crc = crc32c::crc32c_append(self.crc, &self.bytes);
        self.write()
    }

    /// Puts the file in the place of the one before, durably, and returns its length.
    pub(crate) fn finish(mut self) -> Result<u64, IoError> {
        let crc = crc32c::crc32c_append(self.crc, &self.bytes);
        self.bytes.extend_from_slice(&crc.to_le_bytes());
        self.bytes.extend_from_slice(&END_MAGIC);
        self.write()?;
        self.file.sync().map_err(IoError::at(SYNC, &self.building))?;
        let path = names::producers(self.directory);
        let renamed = self.disk.rename(&self.building, &path);
        renamed.map_err(IoError::at("rename", &self.building))?;
        let synced = self.disk.sync_directory(self.directory);
        synced.map_err(IoError::at(SYNC, self.directory))?;
        Ok(self.position)
    }

    /// Moves the buffer to the file, for which it takes the space first.
    fn write(&mut self) -> Result<(), IoError> {
        let end = self.position + wide(self.bytes.len());
        let allocated = self.file.allocate(end);
        allocated.map_err(IoError::at("allocate space for", &self.building))?;
        let written = self.file.write_at(&self.bytes, self.position);
        written.map_err(IoError::at("write", &self.building))?;
        self.position = end;
        self.bytes.clear();
        Ok(())
    }
}

/// A file as it was found.
#[derive(Debug)]
pub(crate) struct Stored {
    /// All batches below it are in `producers`.
    pub(crate) offset: Offset,
    /// Where the frame that begins there stands in its store, if there is one.
    pub(crate) position: u64,
    pub(crate) producers: Producers,
}

/// Reads the file of `log`; `None` if it is absent, damaged or another log's.
///
/// # Errors
///
/// `NewerFormat` if it is of a newer release.
pub(crate) fn read(
    disk: &dyn Disk,
    directory: &Path,
    log: LogId,
    producers_max: usize,
) -> Result<Option<Stored>, OpenError> {
    let path = names::producers(directory);
    let file = match disk.open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(IoError::at("open", &path)(e).into()),
    };
    let file_bytes = file.file_bytes().map_err(IoError::at("stat", &path))?;
    let mut bytes = vec![0; narrow(file_bytes)];
    let read = file.read_at(&mut bytes, 0).map_err(IoError::at("read", &path))?;
    bytes.truncate(read);
    match decode(&bytes, log, Producers::new(producers_max)) {
        Ok(stored) => Ok(Some(stored)),
        Err(Unusable::Damaged) => {
            log::error!(path:% = path.display(); "producers_damaged");
            Ok(None)
        }
        Err(Unusable::Newer(version)) => {
            let (found, supported) = (format!("version {version}"), format!("version {VERSION}"));
            Err(OpenError::NewerFormat { path, found, supported })
        }
    }
}

/// Why a file is not read.
#[derive(Debug, PartialEq, Eq)]
enum Unusable {
    Damaged,
    Newer(u16),
}

fn decode(bytes: &[u8], log: LogId, producers: Producers) -> Result<Stored, Unusable> {
    let covered = covered(bytes).ok_or(Unusable::Damaged)?;
    let mut fields = Decoder::new(covered);
    let header = (fields.array(), fields.u16());
    match header {
        (Some(MAGIC), Some(VERSION)) => {}
        (Some(MAGIC), Some(newer)) => return Err(Unusable::Newer(newer)),
        _ => return Err(Unusable::Damaged),
    }
    decode_body(fields, log, Producers { stored_bytes: wide(bytes.len()), ..producers })
        .ok_or(Unusable::Damaged)
}

/// All bytes before the trailer, if that vouches for them.
fn covered(bytes: &[u8]) -> Option<&[u8]> {
    let (covered, trailer) = bytes.split_at_checked(bytes.len().checked_sub(TRAILER_BYTES)?)?;
    let mut fields = Decoder::new(trailer);
    let is_whole = fields.u32()? == crc32c::crc32c(covered) && fields.array()? == END_MAGIC;
    is_whole.then_some(covered)
}

fn decode_body(mut fields: Decoder<'_>, log: LogId, mut producers: Producers) -> Option<Stored> {
    let _zero: [u8; 6] = fields.array()?;
    if LogId::from_bytes(fields.array()?) != log {
        return None;
    }
    let offset = Offset::new(fields.u64()?);
    let position = fields.u64()?;
    while !fields.is_empty() {
        let id = ProducerId::from_bytes(fields.array()?)?;
        let epoch = fields.u32()?;
        let batches = fields.u32()?;
        let next = fields.u64()?;
        let batches = (0..batches).map(|_| {
            let base = Offset::new(fields.u64()?);
            Some(Remembered { base, records: fields.u32()?, payload_crc: fields.u32()? })
        });
        let batches = batches.collect::<Option<_>>()?;
        producers.restore(id, Window { epoch, next, batches });
    }
    Some(Stored { offset, position, producers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::disk::{SimDisk, Tear};

    const DIRECTORY: &str = "/l";
    const LOG: LogId = LogId::from_bytes([3; 16]);

    fn windows() -> Vec<(ProducerId, Window)> {
        let window = |n: u8| {
            let mut window = Window::default();
            for sequence in 0..u64::from(n) * 700 {
                let base = Offset::new(sequence * 3);
                let batch = Remembered { base, records: 3, payload_crc: u32::from(n) };
                window.push((u32::from(n), sequence), batch);
            }
            (ProducerId::from_bytes([n; 16]).unwrap(), window)
        };
        (1..=3).map(window).collect()
    }

    fn write(disk: &SimDisk, offset: u64) -> Result<u64, IoError> {
        let at = (Offset::new(offset), 128);
        let mut file = ProducersFile::begin(disk, Path::new(DIRECTORY), LOG, at)?;
        for (id, window) in &windows() {
            file.put(*id, window)?;
        }
        file.finish()
    }

    fn disk() -> SimDisk {
        let disk = SimDisk::new();
        disk.create_directory(Path::new(DIRECTORY)).unwrap();
        disk.sync_directory(Path::new("/")).unwrap();
        disk
    }

    fn stored(disk: &SimDisk, log: LogId) -> Option<Stored> {
        read(disk, Path::new(DIRECTORY), log, 10).unwrap()
    }

    #[test]
    fn what_is_written_reads_back_for_its_own_log() {
        let disk = disk();
        assert!(stored(&disk, LOG).is_none());
        let file_bytes = write(&disk, 9).unwrap();
        let found = stored(&disk, LOG).unwrap();
        assert_eq!((found.offset.get(), found.position), (9, 128));
        assert_eq!(found.producers.stored_bytes, file_bytes);
        assert_eq!(found.producers.part(None), windows());
        assert!(stored(&disk, LogId::from_bytes([4; 16])).is_none());
    }

    #[test]
    fn every_flip_and_every_cut_is_noticed() {
        let disk = disk();
        write(&disk, 9).unwrap();
        let path = names::producers(Path::new(DIRECTORY));
        let bytes = disk.bytes(&path).unwrap();
        for at in (0..bytes.len()).step_by(61).chain(bytes.len() - TRAILER_BYTES..bytes.len()) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            let decoded = decode(&flipped, LOG, Producers::default());
            assert_eq!(decoded.unwrap_err(), Unusable::Damaged, "byte {at}");
            assert!(decode(&bytes[..at], LOG, Producers::default()).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn a_newer_version_is_refused() {
        let disk = disk();
        write(&disk, 9).unwrap();
        let path = names::producers(Path::new(DIRECTORY));
        let mut bytes = disk.bytes(&path).unwrap();
        bytes[8] = 2;
        let covered = bytes.len() - TRAILER_BYTES;
        let crc = crc32c::crc32c(&bytes[..covered]).to_le_bytes();
        bytes[covered..covered + 4].copy_from_slice(&crc);
        disk.damage(&path, &bytes).unwrap();
        let refused = read(&disk, Path::new(DIRECTORY), LOG, 10);
        assert!(matches!(refused, Err(OpenError::NewerFormat { .. })), "{refused:?}");
    }

    #[test]
    fn r5_a_cut_at_any_step_leaves_the_old_file_or_the_new_one() {
        let whole = disk();
        write(&whole, 9).unwrap();
        let before = whole.steps();
        write(&whole, 10).unwrap();
        for step in before..=whole.steps() {
            for tear in [Tear::LoseAll, Tear::KeepAll, Tear::Random(step), Tear::Random(step + 99)]
            {
                let disk = disk();
                write(&disk, 9).unwrap();
                disk.cut_power_after(step);
                let second = write(&disk, 10);
                let after = disk.after_power_cut(tear);
                let found = stored(&after, LOG).unwrap_or_else(|| panic!("{step} {tear:?}"));
                assert!([9, 10].contains(&found.offset.get()));
                assert!(second.is_err() || found.offset.get() == 10, "{step} {tear:?}");
                assert_eq!(found.producers.part(None), windows());
            }
        }
    }
}
