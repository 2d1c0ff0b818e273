//! Makes a log in the new directory as it was planned.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::RestoreError;
use super::plan::Planned;
use crate::log::checkpoint::{Census, Checkpoint, CheckpointFile, Mark, ProducersAt};
use crate::log::copies::{self, MayGoOn};
use crate::log::disk::{Disk, ReadOnly};
use crate::log::error::{IoError, SYNC};
use crate::log::fill::Frames;
use crate::log::footer::Footer;
use crate::log::index::Index;
use crate::log::offset::Offset;
use crate::log::producers::{Producers, ProducersFile, read as read_producers};
use crate::log::reached::Reached;
use crate::log::scan::{Found, Scan};
use crate::log::store::Store;
use crate::log::store_header::STORE_HEADER_BYTES;
use crate::log::width::wide;
use crate::log::{names, prefix, readers};

/// A log that is being made.
pub(super) struct Work<'a> {
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) planned: &'a Planned,
    /// The folder of the logs.
    pub(super) target: &'a Path,
    pub(super) may_go_on: MayGoOn<'a>,
}

impl Work<'_> {
    pub(super) fn run(&self) -> Result<(), RestoreError> {
        let (disk, planned, directory) = (&**self.disk, self.planned, &self.directory());
        disk.create_directory(directory).map_err(IoError::at("create", directory))?;
        self.copy_if_there(names::meta)?;
        let whole = planned.bases.len() - usize::from(planned.is_last_cut);
        for base in planned.bases.iter().take(whole) {
            if planned.bases.last() == Some(base) {
                // Appends may go on in it.
                self.copy(|log| names::store(log, *base))?;
            } else {
                self.share(|log| names::store(log, *base))?;
            }
            self.copy_if_there(|log| names::index(log, *base))?;
        }
        if planned.is_cut {
            if let Some(base) = planned.bases.get(whole) {
                self.cut_segment(*base)?;
            }
            let mark = self.mark()?;
            let producers = self.cut_producers(&mark)?;
            self.cut_readers()?;
            self.write_checkpoint(mark, producers)?;
        } else {
            for name in [names::producers, names::readers, names::checkpoint] {
                self.copy_if_there(name)?;
            }
        }
        Ok(disk.sync_directory(directory).map_err(IoError::at(SYNC, directory))?)
    }

    fn directory(&self) -> PathBuf {
        self.target.join(self.planned.told.log.as_str())
    }

    fn copy(&self, name: impl Fn(&Path) -> PathBuf) -> Result<(), IoError> {
        let (from, to) = (name(&self.planned.directory), name(&self.directory()));
        copies::copy(&**self.disk, &from, &to, self.may_go_on)
    }

    fn share(&self, name: impl Fn(&Path) -> PathBuf) -> Result<(), IoError> {
        let (from, to) = (name(&self.planned.directory), name(&self.directory()));
        copies::share(&**self.disk, &from, &to, self.may_go_on)
    }

    /// Copies a file that a start makes anew, or that need not have been there.
    fn copy_if_there(&self, name: impl Fn(&Path) -> PathBuf) -> Result<(), IoError> {
        match self.copy(name) {
            Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(()),
            copied => copied,
        }
    }

    /// The segment that begins at `base`, sealed where the log is to end.
    fn cut_segment(&self, base: Offset) -> Result<(), IoError> {
        let (disk, end) = (&**self.disk, self.planned.told.end);
        let path = names::store(&self.planned.directory, base);
        let old = Store::open(&ReadOnly(disk), &path, self.planned.id, base);
        let old = old.map_err(|fault| fault.at(&path))?;
        let path = names::store(&self.directory(), base);
        let file = disk.create(&path).map_err(IoError::at("create", &path))?;
        let incarnation = self.planned.checkpoint.map_or(0, |held| held.mark.incarnation);
        let footer = Footer { end, incarnation, ..Footer::default() };
        prefix::copy(&old, (&*file, &path), end, footer)?;
        file.sync().map_err(IoError::at(SYNC, &path))?;
        let store = self.open(base)?;
        let frames = Frames::of(&store, Reached::nothing(base).within(end), u32::MAX)?;
        let entries = frames.count();
        let path = names::index(&self.directory(), base);
        let index = Index::create(disk, &path, entries)?;
        frames.fill(&index, entries)?;
        index.sync().map_err(IoError::at(SYNC, &path))
    }

    fn open(&self, base: Offset) -> Result<Store, IoError> {
        let path = names::store(&self.directory(), base);
        let store = Store::open(&**self.disk, &path, self.planned.id, base);
        store.map_err(|fault| fault.at(&path))
    }

    /// Where the log ends, as a start expects it.
    fn mark(&self) -> Result<Mark, IoError> {
        let before = self.planned.checkpoint.map(|held| held.mark).unwrap_or_default();
        // Above that of every frame that the backup has: what is appended now is none of those.
        let mut mark = Mark { incarnation: before.incarnation, ..Mark::default() };
        if let Some(&base) = self.planned.bases.last() {
            (mark.base, mark.position) = (base, wide(STORE_HEADER_BYTES));
            let store = self.open(base)?;
            mark.capacity_bytes = store.file_bytes()?;
            let mut scan = Scan::headers(&store, mark.position)?;
            while let Some((position, header)) = next_frame(&mut scan)? {
                if mark.frames == 0 {
                    mark.first_time_us = header.append_time_us;
                }
                let crc = header.crc.to_le_bytes();
                mark.segment_crc = crc32c::crc32c_append(mark.segment_crc, &crc);
                mark.frames += 1;
                (mark.last_frame_at, mark.last_time_us) = (position, header.append_time_us);
                mark.position = position + wide(header.frame_bytes());
                mark.incarnation = mark.incarnation.max(header.incarnation);
            }
        }
        mark.durable_end = self.planned.told.end;
        Ok(mark)
    }

    /// What was known of producers where the log ends now.
    fn cut_producers(&self, mark: &Mark) -> Result<ProducersAt, RestoreError> {
        let (disk, planned, end) = (&**self.disk, self.planned, self.planned.told.end);
        let told = planned.checkpoint.map(|held| held.producers);
        let read_only = ReadOnly(disk);
        let stored = read_producers(&read_only, &planned.directory, planned.id, usize::MAX)?;
        let mut known = match stored {
            None => {
                let start = planned.told.start;
                let told = told.unwrap_or(ProducersAt { from: start, in_file: false });
                return Ok(ProducersAt { from: told.from.min(end), ..told });
            }
            Some(stored) => stored,
        };
        // A producer may have batches from the file's offset on.
        let has_more = known.producers.cut(end);
        if known.offset <= end && !has_more {
            self.copy(names::producers)?;
            return Ok(ProducersAt { from: known.offset, in_file: true });
        }
        let mut producers = Producers::new(usize::MAX);
        for &base in &planned.bases {
            let store = self.open(base)?;
            let mut scan = Scan::headers(&store, wide(STORE_HEADER_BYTES))?;
            while let Some((_, header)) = next_frame(&mut scan)? {
                producers.replay(&header);
            }
        }
        producers.complete(known.producers);
        if producers.is_empty() {
            return Ok(ProducersAt { from: end, in_file: false });
        }
        let directory = self.directory();
        let mut file = ProducersFile::begin(disk, &directory, planned.id, (end, mark.position))?;
        let mut after = None;
        loop {
            let part = producers.part(after);
            let Some((last, _)) = part.last() else {
                break;
            };
            after = Some(*last);
            part.iter().try_for_each(|(id, durable)| file.put(*id, durable))?;
        }
        file.finish()?;
        Ok(ProducersAt { from: end, in_file: true })
    }

    fn cut_readers(&self) -> Result<(), RestoreError> {
        let (planned, end) = (self.planned, self.planned.told.end);
        let held = readers::read(&ReadOnly(&**self.disk), &planned.directory, planned.id)?;
        let Some(held) = held else {
            // As they are: maybe someone can still make something of them.
            return Ok(self.copy_if_there(names::readers)?);
        };
        if held.is_empty() {
            return Ok(());
        }
        let written = readers::write(self.disk, (&self.directory(), planned.id), held, end);
        let log = planned.told.log.clone();
        written.map(|_| ()).map_err(|source| RestoreError::Readers { log, source })
    }

    /// Into both slots: should one of them rot, the other still knows the start and the end.
    fn write_checkpoint(&self, mark: Mark, producers: ProducersAt) -> Result<(), IoError> {
        let (disk, planned, directory) = (&**self.disk, self.planned, &self.directory());
        let census = Census::of(planned.bases.iter().copied());
        let (log_id, start, clean) = (planned.id, planned.told.start, true);
        let checkpoint = Checkpoint { log_id, clean, start, mark, census, producers };
        let mut file = CheckpointFile::create(disk, directory)?;
        (0..2).try_for_each(|_| file.write(disk, directory, &checkpoint))
    }
}

/// The next frame of a store, behind damage too, and where it stands.
fn next_frame(
    scan: &mut Scan<'_>,
) -> Result<Option<(u64, crate::log::frame::FrameHeader)>, IoError> {
    loop {
        match scan.next()? {
            Found::Frame { position, header, .. } => return Ok(Some((position, header))),
            Found::Footer { .. } => return Ok(None),
            Found::Nothing { .. } => {
                if !scan.resync()? {
                    return Ok(None);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::log::restore::{Cut, Restore};
    use crate::log::{
        Append, DEFAULT_LOG, Durability, LogName, Logs, Options, Producer, ProducerId, SimDisk,
    };

    const DATA: &str = "/data";

    fn open(disk: &SimDisk, folder: &str) -> Arc<Logs> {
        let options = Options { flushers: 0, min_free_bytes: 0, ..Options::default() };
        Logs::open(Path::new(folder), Arc::new(disk.clone()), options).unwrap()
    }

    /// The offset of the producer's batch, and whether it was there already.
    fn append(logs: &Logs, sequence: u64) -> (u64, bool) {
        let id = ProducerId::from_bytes([7; 16]).unwrap();
        let pending = logs.get(DEFAULT_LOG).unwrap().append_batch(Append {
            payload: &[0],
            records: NonZeroU32::MIN,
            durability: Durability::Synced,
            expected: None,
            producer: Some(Producer { id, epoch: 1, sequence }),
        });
        let pending = pending.unwrap();
        let told = (pending.base_offset().get(), pending.is_duplicate());
        logs.work();
        told
    }

    /// It is written while appends go on, and so knows of batches behind the offset that it stands
    /// for. One of them that was cut is new.
    #[test]
    fn a_file_of_producers_that_knows_more_than_its_offset_says_is_cut_too() {
        let disk = SimDisk::new();
        let logs = open(&disk, DATA);
        (0..10).for_each(|sequence| assert_eq!(append(&logs, sequence), (sequence, false)));
        let id = logs.get(DEFAULT_LOG).unwrap().id();
        logs.close().unwrap();
        let directory = names::logs(Path::new(DATA)).join(DEFAULT_LOG);
        let stored = read_producers(&disk, &directory, id, usize::MAX).unwrap().unwrap();
        let store = Store::open(&disk, &names::store(&directory, Offset::ZERO), id, Offset::ZERO);
        let store = store.unwrap();
        let mut scan = Scan::headers(&store, wide(STORE_HEADER_BYTES)).unwrap();
        let frames = std::iter::from_fn(|| next_frame(&mut scan).unwrap());
        let (position, header) = frames.into_iter().nth(4).unwrap();
        let at = (header.base, position);
        let mut file = ProducersFile::begin(&disk, &directory, id, at).unwrap();
        for (id, durable) in stored.producers.part(None) {
            file.put(id, &durable).unwrap();
        }
        file.finish().unwrap();

        for cut in [3, 4, 7, 10] {
            let target = format!("/to-{cut}");
            let log = LogName::parse(DEFAULT_LOG).unwrap();
            let cut_at = Cut::Offsets([(log, Offset::new(cut))].into());
            let on: Arc<dyn Disk> = Arc::new(disk.clone());
            let plan = Restore::plan(&on, Path::new(DATA), Path::new(&target), &[], &cut_at);
            plan.unwrap().run(&|_| {}).unwrap();
            let logs = open(&disk, &target);
            (0..cut).for_each(|sequence| assert_eq!(append(&logs, sequence), (sequence, true)));
            assert_eq!(append(&logs, cut), (cut, false), "{cut}");
        }
    }
}
