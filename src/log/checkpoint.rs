//! A log's `checkpoint` file: how far it is known to be durable, so that a start need not look.
//!
//! Two slots of 4,096 bytes, overwritten in turn; the valid one with the higher sequence counts. If
//! the other one is damaged it may have been newer, so the log then does not count as closed.
//! Neither is needed to recover the log, but the start offset and the highest end are promises: no
//! store is removed before they are durable here.
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `VARVECKP` |
//! | 8 | 4 | CRC32C of bytes 12 to 159 |
//! | 12 | 2 | format version, 1 |
//! | 14 | 2 | 1 if the log was closed in order and not opened to append since |
//! | 16 | 8 | sequence |
//! | 24 | 16 | log id |
//! | 40 | 8 | start offset |
//! | 48 | 8 | durable end |
//! | 56 | 8 | incarnation |
//! | 64 | 8 | append time of the last frame |
//! | 72 | 8 | base offset of the segment that the durable end lies in |
//! | 80 | 8 | position of the durable end in its store; 0 if there is no segment |
//! | 88 | 8 | position of the last frame; 0 if there is none |
//! | 96 | 8 | append time of the segment's first frame |
//! | 104 | 4 | frames in the segment up to there |
//! | 108 | 4 | CRC32C of their headers' CRCs |
//! | 112 | 8 | capacity that the segment was given, in bytes |
//! | 120 | 4 | segments |
//! | 124 | 4 | CRC32C of their base offsets |
//! | 128 | 4 | where the producers are: 0 nowhere, 1 in frames, 2 in their file and in frames |
//! | 132 | 4 | zero |
//! | 136 | 8 | offset from which on frames tell of producers |
//! | 144 | 16 | zero |

use std::io;
use std::path::Path;

use super::codec::Decoder;
use super::disk::Disk;
use super::error::{IoError, OpenError, SYNC};
use super::frame::can_stand_before;
use super::names;
use super::offset::{LogId, Offset};
use super::width::narrow;

const MAGIC: [u8; 8] = *b"VARVECKP";
const VERSION: u16 = 1;
const SLOT_BYTES: u64 = 4096;
/// No slot has this sequence, nor one above: a million writes a second take 146,000 years. So there
/// is always a next one.
const SEQUENCES_END: u64 = 1 << 62;
const COVERED: std::ops::Range<usize> = 12..160;

/// How far a log's last segment was durable, and what a footer or a restart needs to know of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) durable_end: Offset,
    pub(crate) incarnation: u64,
    pub(crate) last_time_us: u64,
    pub(crate) base: Offset,
    pub(crate) position: u64,
    pub(crate) last_frame_at: u64,
    pub(crate) first_time_us: u64,
    pub(crate) frames: u32,
    pub(crate) segment_crc: u32,
    pub(crate) capacity_bytes: u64,
}

/// The segments a log consists of, as a number that changes when one is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) segments: u32,
    pub(crate) bases_crc: u32,
}

impl Census {
    pub(crate) fn of(bases: impl Iterator<Item = Offset>) -> Self {
        bases.fold(Self::default(), |census, base| Self {
            segments: census.segments + 1,
            bases_crc: crc32c::crc32c_append(census.bases_crc, &base.get().to_le_bytes()),
        })
    }
}

/// Where a log's producers are to be found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProducersAt {
    /// Frames tell of producers from here on. Below there are none, unless a file has them.
    pub(crate) from: Offset,
    /// Whether the file `producers` has those below, and maybe some above.
    pub(crate) in_file: bool,
}

impl ProducersAt {
    /// The first of its two fields, in a slot with this durable end. Zero, as it was when there
    /// were no producers, says that none is below that end.
    fn kind(self, durable_end: Offset) -> u32 {
        match self {
            Self { in_file: true, .. } => 2,
            Self { from, in_file: false } => u32::from(from < durable_end),
        }
    }

    fn decode(kind: u32, from: Offset, durable_end: Offset) -> Self {
        match kind {
            0 => Self { from: durable_end, in_file: false },
            // No frame was there to tell of them. Where they begin is not known, so all are asked.
            _ if from > durable_end => Self { from: Offset::ZERO, in_file: kind != 1 },
            _ => Self { from, in_file: kind != 1 },
        }
    }
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) log_id: LogId,
    pub(crate) clean: bool,
    pub(crate) start: Offset,
    pub(crate) mark: Mark,
    pub(crate) census: Census,
    pub(crate) producers: ProducersAt,
}

impl Checkpoint {
    fn encode(&self, sequence: u64) -> Vec<u8> {
        let mark = &self.mark;
        let mut covered = Vec::with_capacity(COVERED.len());
        covered.extend_from_slice(&VERSION.to_le_bytes());
        covered.extend_from_slice(&u16::from(self.clean).to_le_bytes());
        covered.extend_from_slice(&sequence.to_le_bytes());
        covered.extend_from_slice(&self.log_id.bytes());
        for field in [
            self.start.get(),
            mark.durable_end.get(),
            mark.incarnation,
            mark.last_time_us,
            mark.base.get(),
            mark.position,
            mark.last_frame_at,
            mark.first_time_us,
        ] {
            covered.extend_from_slice(&field.to_le_bytes());
        }
        covered.extend_from_slice(&mark.frames.to_le_bytes());
        covered.extend_from_slice(&mark.segment_crc.to_le_bytes());
        covered.extend_from_slice(&mark.capacity_bytes.to_le_bytes());
        covered.extend_from_slice(&self.census.segments.to_le_bytes());
        covered.extend_from_slice(&self.census.bases_crc.to_le_bytes());
        covered.extend_from_slice(&self.producers.kind(mark.durable_end).to_le_bytes());
        covered.extend_from_slice(&[0; 4]);
        covered.extend_from_slice(&self.producers.from.get().to_le_bytes());
        covered.resize(COVERED.len(), 0);
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&crc32c::crc32c(&covered).to_le_bytes());
        out.append(&mut covered);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Slot> {
        let mut fields = Decoder::new(bytes);
        if fields.array()? != MAGIC || fields.u32()? != crc32c::crc32c(bytes.get(COVERED)?) {
            return None;
        }
        let version = fields.u16()?;
        if version != VERSION {
            return Some(Slot::Newer(version));
        }
        let clean = fields.u16()? == 1;
        let sequence = fields.u64().filter(|n| (1..SEQUENCES_END).contains(n))?;
        let log_id = LogId::from_bytes(fields.array()?);
        let start = Offset::new(fields.u64()?);
        let mark = Mark {
            durable_end: Offset::new(fields.u64()?),
            incarnation: fields.u64()?,
            last_time_us: fields.u64()?,
            base: Offset::new(fields.u64()?),
            position: fields.u64()?,
            last_frame_at: fields.u64()?,
            first_time_us: fields.u64()?,
            frames: fields.u32()?,
            segment_crc: fields.u32()?,
            capacity_bytes: fields.u64()?,
        };
        // A log that starts behind its end, a segment behind what it holds, or one with more frames
        // than have room in it, was never written.
        if start.max(mark.base) > mark.durable_end || !can_stand_before(mark.position, mark.frames)
        {
            return None;
        }
        let census = Census { segments: fields.u32()?, bases_crc: fields.u32()? };
        let (kind, _zero, from) = (fields.u32()?, fields.u32()?, Offset::new(fields.u64()?));
        let producers = ProducersAt::decode(kind, from, mark.durable_end);
        Some(Slot::Valid(sequence, Self { log_id, clean, start, mark, census, producers }))
    }
}

enum Slot {
    Valid(u64, Checkpoint),
    Newer(u16),
}

/// What a checkpoint file holds.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// The newest valid slot and its sequence.
    pub(crate) newest: Option<(u64, Checkpoint)>,
    /// Where slots stand that are neither valid nor all zero: they may have been newer ones.
    pub(crate) lost_at: Vec<u64>,
}

impl Slots {
    /// Reads the file in the log's directory; `None` if there is none.
    ///
    /// # Errors
    ///
    /// `NewerFormat` if a slot is of a newer release.
    pub(crate) fn read(disk: &dyn Disk, directory: &Path) -> Result<Option<Self>, OpenError> {
        let path = names::checkpoint(directory);
        let file = match disk.open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(IoError::at("open", &path)(e).into()),
        };
        let mut found = Self::default();
        for position in [0, SLOT_BYTES] {
            let mut bytes = vec![0; narrow(SLOT_BYTES)];
            file.read_at(&mut bytes, position).map_err(IoError::at("read", &path))?;
            // In the other's place it would not be the one that is overwritten in its turn.
            let is_in_place = |slot: &Slot| match slot {
                Slot::Valid(sequence, _) => sequence % 2 * SLOT_BYTES == position,
                Slot::Newer(_) => true,
            };
            match Checkpoint::decode(&bytes).filter(is_in_place) {
                Some(Slot::Valid(sequence, checkpoint))
                    if found.newest.is_none_or(|(held, _)| sequence > held) =>
                {
                    found.newest = Some((sequence, checkpoint));
                }
                Some(Slot::Valid(..)) => {}
                None if bytes.iter().any(|byte| *byte != 0) => found.lost_at.push(position),
                None => {}
                Some(Slot::Newer(version)) => {
                    let (found, supported) = (format!("version {version}"), "version 1".into());
                    return Err(OpenError::NewerFormat { path, found, supported });
                }
            }
        }
        Ok(Some(found))
    }
}

/// A log's checkpoint file, which is open only while it is written: many logs must not cost as many
/// open files. One thread at a time writes it.
#[derive(Debug)]
pub(crate) struct CheckpointFile {
    sequence: u64,
    /// A sync failed, and after that nothing of a file is certain.
    is_doubtful: bool,
}

impl CheckpointFile {
    /// Creates the file with room for both slots, none of them valid yet, durably but for the
    /// directory's sync.
    pub(crate) fn create(disk: &dyn Disk, directory: &Path) -> Result<Self, IoError> {
        let path = names::checkpoint(directory);
        let file = disk.create(&path).map_err(IoError::at("create", &path))?;
        let allocated = file.allocate(2 * SLOT_BYTES);
        allocated.map_err(IoError::at("allocate space for", &path)).inspect_err(|_| {
            // Else the next attempt would find a file that it did not make.
            let _removed = disk.remove(&path);
        })?;
        file.sync().map_err(IoError::at(SYNC, &path))?;
        Ok(Self { sequence: 0, is_doubtful: false })
    }

    /// Opens the file and reads the newest valid slot; both are `None` where there is none.
    ///
    /// # Errors
    ///
    /// `NewerFormat` if the newest slot is of a newer release.
    pub(crate) fn open(
        disk: &dyn Disk,
        directory: &Path,
    ) -> Result<(Option<Self>, Option<Checkpoint>), OpenError> {
        let Some(found) = Slots::read(disk, directory)? else {
            return Ok((None, None));
        };
        let sequence = found.newest.map_or(0, |(sequence, _)| sequence);
        let one_is_lost = !found.lost_at.is_empty();
        let checkpoint = found
            .newest
            .map(|(_, newest)| Checkpoint { clean: newest.clean && !one_is_lost, ..newest });
        Ok((Some(Self { sequence, is_doubtful: false }), checkpoint))
    }

    /// Writes the next slot of the log in `directory` and makes it durable. After a failed sync it
    /// fails and does nothing.
    pub(crate) fn write(
        &mut self,
        disk: &dyn Disk,
        directory: &Path,
        checkpoint: &Checkpoint,
    ) -> Result<(), IoError> {
        let sequence = self.sequence + 1;
        let position = sequence % 2 * SLOT_BYTES;
        let bytes = checkpoint.encode(sequence);
        let path = names::checkpoint(directory);
        if self.is_doubtful {
            let earlier = io::Error::other("a sync of it has failed before");
            return Err(IoError::at("write", &path)(earlier));
        }
        let file = disk.open(&path).map_err(IoError::at("open", &path))?;
        file.write_at(&bytes, position).map_err(IoError::at("write", &path))?;
        let synced = file.sync().map_err(IoError::at(SYNC, &path));
        self.is_doubtful = synced.is_err();
        synced?;
        self.sequence = sequence;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::disk::SimDisk;

    const DIRECTORY: &str = "/l";

    fn checkpoint(end: u64) -> Checkpoint {
        Checkpoint {
            log_id: LogId::from_bytes([3; 16]),
            clean: end.is_multiple_of(2),
            start: Offset::new(1),
            mark: Mark {
                durable_end: Offset::new(end),
                position: 568,
                frames: 5,
                ..Mark::default()
            },
            census: Census::of([1, 7].map(Offset::new).into_iter()),
            producers: ProducersAt {
                from: Offset::new(end.saturating_sub(end % 3)),
                in_file: end.is_multiple_of(2),
            },
        }
    }

    fn disk() -> SimDisk {
        let disk = SimDisk::new();
        disk.create_directory(Path::new(DIRECTORY)).unwrap();
        disk
    }

    fn read(disk: &SimDisk) -> Option<Checkpoint> {
        CheckpointFile::open(disk, Path::new(DIRECTORY)).unwrap().1
    }

    #[test]
    fn the_newest_slot_counts_and_the_older_stands_in_for_a_damaged_one() {
        let disk = disk();
        let mut file = CheckpointFile::create(&disk, Path::new(DIRECTORY)).unwrap();
        assert_eq!(read(&disk), None);
        for end in 1..6 {
            file.write(&disk, Path::new(DIRECTORY), &checkpoint(end)).unwrap();
            assert_eq!(read(&disk), Some(checkpoint(end)));
        }
        let path = names::checkpoint(Path::new(DIRECTORY));
        let bytes = disk.bytes(&path).unwrap();
        let newest = narrow(SLOT_BYTES);
        for at in newest..newest + COVERED.end {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            disk.damage(&path, &damaged).unwrap();
            let expected = Checkpoint { clean: false, ..checkpoint(4) };
            assert_eq!(read(&disk), Some(expected), "byte {at}");
        }
    }

    /// A thread that came between a failed sync and the end of the log wrote the slot anew.
    #[test]
    fn r12_after_a_failed_sync_the_file_is_left_alone() {
        let disk = disk();
        let mut file = CheckpointFile::create(&disk, Path::new(DIRECTORY)).unwrap();
        file.write(&disk, Path::new(DIRECTORY), &checkpoint(1)).unwrap();
        disk.fail(crate::log::disk::Op::Sync, 0, io::ErrorKind::Other);
        assert!(file.write(&disk, Path::new(DIRECTORY), &checkpoint(2)).is_err());
        let steps = disk.steps();
        assert!(file.write(&disk, Path::new(DIRECTORY), &checkpoint(3)).is_err());
        assert_eq!(disk.steps(), steps, "the disk is not asked");
    }

    /// Slots that were written before there were producers have zeros there.
    #[test]
    fn zeros_say_that_there_are_no_producers_below_the_durable_end() {
        let mut without = checkpoint(7);
        without.producers = ProducersAt { from: Offset::new(7), in_file: false };
        let mut bytes = without.encode(1);
        assert_eq!(bytes[128..136], [0; 8]);
        bytes[136..144].fill(0);
        let crc = crc32c::crc32c(&bytes[COVERED]).to_le_bytes();
        bytes[8..12].copy_from_slice(&crc);
        assert!(matches!(Checkpoint::decode(&bytes), Some(Slot::Valid(1, old)) if old == without));
    }

    #[test]
    fn producers_that_no_frame_can_tell_of_are_looked_for_in_all_frames() {
        for (in_file, from, told) in [(false, 6, 6), (false, 8, 0), (true, 7, 7), (true, 8, 0)] {
            let (from, told) = (Offset::new(from), Offset::new(told));
            let slot = Checkpoint { producers: ProducersAt { from, in_file }, ..checkpoint(7) };
            let mut bytes = slot.encode(1);
            bytes[128] = if in_file { 2 } else { 1 };
            let crc = crc32c::crc32c(&bytes[COVERED]).to_le_bytes();
            bytes[8..12].copy_from_slice(&crc);
            let producers = ProducersAt { from: told, in_file };
            let expected = Checkpoint { producers, ..slot };
            let read = Checkpoint::decode(&bytes);
            assert!(matches!(read, Some(Slot::Valid(1, read)) if read == expected), "{from}");
        }
    }

    /// Taken at its word it made a log whose start offset was above its end.
    #[test]
    fn a_slot_that_contradicts_itself_is_none() {
        let slot = |start, base, end| {
            let (start, base) = (Offset::new(start), Offset::new(base));
            let mark = Mark { base, ..checkpoint(end).mark };
            Checkpoint::decode(&Checkpoint { start, mark, ..checkpoint(end) }.encode(1))
        };
        assert!(matches!(slot(7, 7, 7), Some(Slot::Valid(..))));
        assert!(slot(8, 7, 7).is_none());
        assert!(slot(7, 8, 7).is_none());
        // The least that a frame takes is its header.
        let slot = |frames, position| {
            let mark = Mark { frames, position, ..checkpoint(7).mark };
            Checkpoint::decode(&Checkpoint { mark, ..checkpoint(7) }.encode(1))
        };
        assert!(matches!(slot(0, 0), Some(Slot::Valid(..))));
        assert!(matches!(slot(3, 128 + 3 * 88), Some(Slot::Valid(..))));
        for (frames, position) in [(1, 0), (1, 128), (3, 128 + 3 * 88 - 1), (u32::MAX, 5000)] {
            assert!(slot(frames, position).is_none(), "{frames} before {position}");
        }
    }

    /// Behind the last sequence there is, the next slot counted as the oldest.
    #[test]
    fn a_slot_with_a_sequence_that_it_cannot_have_is_none() {
        for (sequence, place) in [(u64::MAX, 1), ((1 << 62) + 1, 1), (7, 0), (8, 1), (0, 0)] {
            let disk = disk();
            let directory = Path::new(DIRECTORY);
            let mut file = CheckpointFile::create(&disk, directory).unwrap();
            for end in 1..=2 + place {
                file.write(&disk, directory, &checkpoint(end)).unwrap();
            }
            let position = place * SLOT_BYTES;
            let bytes = checkpoint(70).encode(sequence);
            disk.open(&names::checkpoint(directory)).unwrap().write_at(&bytes, position).unwrap();
            let found = Slots::read(&disk, directory).unwrap().unwrap();
            assert_eq!(found.lost_at, [position], "{sequence} at {place}");
            assert_eq!(found.newest.unwrap().0, 1 + place, "{sequence} at {place}");
            let (reopened, _) = CheckpointFile::open(&disk, directory).unwrap();
            reopened.unwrap().write(&disk, directory, &checkpoint(4)).unwrap();
            assert_eq!(read(&disk), Some(checkpoint(4)), "{sequence} at {place}");
        }
    }

    #[test]
    fn a_reopened_file_goes_on_with_the_other_slot() {
        let disk = disk();
        let mut file = CheckpointFile::create(&disk, Path::new(DIRECTORY)).unwrap();
        file.write(&disk, Path::new(DIRECTORY), &checkpoint(1)).unwrap();
        let (reopened, _) = CheckpointFile::open(&disk, Path::new(DIRECTORY)).unwrap();
        reopened.unwrap().write(&disk, Path::new(DIRECTORY), &checkpoint(2)).unwrap();
        assert_eq!(read(&disk), Some(checkpoint(2)));
    }
}
