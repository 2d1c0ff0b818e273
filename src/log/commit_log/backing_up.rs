//! A copy of a log's directory by links, while appends go on.
//!
//! The active segment is sealed first, and only sealed segments are linked. Nobody puts other bytes
//! into those files any more, under whichever name: a store is given away whole or replaced by a
//! new file, and what a start writes into a sealed one is what it read there; an index is made anew
//! in its place, but of the store that both names share, so that it is right for both. All that
//! does change is written anew: `meta`, the checkpoint, the readers; and `producers`, which is
//! replaced by new files, is copied.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::Log;
use crate::log::checkpoint::{Census, Checkpoint, CheckpointFile, Mark, ProducersAt};
use crate::log::copies::MayGoOn;
use crate::log::error::{BackUpError, IoError, ReaderError, SYNC};
use crate::log::intake::Refusal;
use crate::log::offset::{LogId, Offset};
use crate::log::segment::Segment;
use crate::log::writer::Writer;
use crate::log::{copies, names, readers};

/// A log as it is in a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// Its name.
    pub log: String,
    /// Its id.
    pub id: LogId,
    /// The first offset that is held.
    pub start: Offset,
    /// The offset after the last record.
    pub end: Offset,
    /// How many segments there are.
    pub segments: usize,
    /// Bytes of their stores.
    pub store_bytes: u64,
    /// How many of the stores are links, which share the disk's fate with the originals.
    pub linked: usize,
}

/// What is in the backup, decided at one moment.
struct Cut {
    segments: Vec<Arc<Segment>>,
    start: Offset,
    end: Offset,
    /// `None` for a log that is damaged: its own says what is missing.
    checkpoint: Option<Checkpoint>,
}

impl Log {
    /// Makes `target`, which must not exist, a directory of this log as it is now, durably but for
    /// its own name; `None` if the log was deleted. Appends go on; trims and a deletion wait.
    ///
    /// # Errors
    ///
    /// `Failed`, `Closed`, `Readers` and `Io` leave a part of the directory.
    pub(crate) fn back_up(
        self: &Arc<Self>,
        target: &Path,
        may_go_on: MayGoOn<'_>,
    ) -> Result<Option<BackedUp>, BackUpError> {
        let _drops = self.drops.lock();
        let disk = &*self.engine.disk;
        if self.is_gone() {
            return Ok(None);
        }
        disk.create_directory(target).map_err(IoError::at("create", target))?;
        let producers = self.copy_producers(target, may_go_on)?;
        let cut = self.with_writer(|writer| self.cut(writer, producers))?;
        self.meta.lock().write(disk, target)?;
        let (mut linked, mut store_bytes) = (0, 0);
        for segment in &cut.segments {
            store_bytes += segment.facts_or_size()?.store_bytes;
            linked += usize::from(self.keep_segment(segment, target, may_go_on)?);
        }
        self.copy_readers(target, cut.end, may_go_on)?;
        match cut.checkpoint {
            Some(checkpoint) => write_checkpoint(disk, target, &checkpoint)?,
            None => self.copy_if_there(names::checkpoint, target, may_go_on)?,
        }
        disk.sync_directory(target).map_err(IoError::at(SYNC, target))?;
        Ok(Some(BackedUp {
            log: self.name().to_owned(),
            id: self.id,
            start: cut.start,
            end: cut.end,
            segments: cut.segments.len(),
            store_bytes,
            linked,
        }))
    }

    /// The file of producers as it is. It may be older than what is cut after it: the frames from
    /// its offset on tell the rest, and are not trimmed meanwhile.
    fn copy_producers(
        &self,
        target: &Path,
        may_go_on: MayGoOn<'_>,
    ) -> Result<ProducersAt, BackUpError> {
        // It is not replaced under this lock.
        let held = self.checkpoint.lock();
        if held.producers.in_file {
            self.copy_if_there(names::producers, target, may_go_on)?;
        }
        Ok(held.producers)
    }

    /// Seals what there is, and decides what is in the backup.
    fn cut(
        self: &Arc<Self>,
        writer: &mut Writer,
        producers: ProducersAt,
    ) -> Result<Cut, BackUpError> {
        let refusal = self.intake.lock().refusal;
        match refusal {
            Some(Refusal::Damaged) => {
                let segments = self.segments.load().to_vec();
                let (start, end) = (self.start(), self.watermark.end());
                return Ok(Cut { segments, start, end, checkpoint: None });
            }
            Some(Refusal::Failed) => return Err(self.backup_failed()),
            Some(Refusal::Closed) => return Err(BackUpError::Closed),
            Some(Refusal::Leaving | Refusal::Deleted) | None => {}
        }
        match writer.seal(self) {
            Err(error) if !error.is_no_space() => {
                writer.fail(self, error);
                return Err(self.backup_failed());
            }
            sealed => sealed?,
        }
        let mark: Mark = *self.mark.lock();
        let (start, end, segments) = (self.start(), mark.durable_end, self.sealed_segments());
        // What cannot be sealed is not left out.
        if segments.last().map_or(start, |last| last.end()) != end {
            return Err(self.backup_failed());
        }
        let census = Census::of(segments.iter().map(|segment| segment.base()));
        let (log_id, clean) = (self.id, true);
        let checkpoint = Checkpoint { log_id, clean, start, mark, census, producers };
        Ok(Cut { segments, start, end, checkpoint: Some(checkpoint) })
    }

    fn backup_failed(&self) -> BackUpError {
        BackUpError::Failed { name: self.name().to_owned() }
    }

    /// Links the segment's files, or copies them; whether the store is a link.
    fn keep_segment(
        &self,
        segment: &Segment,
        target: &Path,
        may_go_on: MayGoOn<'_>,
    ) -> Result<bool, BackUpError> {
        let disk = &*self.engine.disk;
        let store = names::store(target, segment.base());
        let is_linked = copies::keep(disk, &segment.store_path(), &store, may_go_on)?;
        let index = names::index(target, segment.base());
        match copies::keep(disk, &segment.index_path(), &index, may_go_on) {
            Ok(_) => {
                // It need not have been synced yet, and is in the backup as it should be.
                let file = disk.open(&index).map_err(IoError::at("open", &index))?;
                file.sync().map_err(IoError::at(SYNC, &index))?;
            }
            // It is made anew from the store.
            Err(error) if error.source.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(is_linked)
    }

    fn copy_readers(
        &self,
        target: &Path,
        end: Offset,
        may_go_on: MayGoOn<'_>,
    ) -> Result<(), BackUpError> {
        let failed = |source| BackUpError::Readers { name: self.name().to_owned(), source };
        match self.readers() {
            Ok(readers) if readers.is_empty() => Ok(()),
            Ok(all) => {
                let written = readers::write(&self.engine.disk, (target, self.id), all, end);
                written.map(|_| ()).map_err(failed)
            }
            // As they are: maybe someone can still make something of them.
            Err(ReaderError::Damaged) => self.copy_if_there(names::readers, target, may_go_on),
            Err(error) => Err(failed(error)),
        }
    }

    fn copy_if_there(
        &self,
        name: fn(&Path) -> std::path::PathBuf,
        target: &Path,
        may_go_on: MayGoOn<'_>,
    ) -> Result<(), BackUpError> {
        let (from, to) = (name(&self.directory), name(target));
        match copies::copy(&*self.engine.disk, &from, &to, may_go_on) {
            Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(()),
            copied => Ok(copied?),
        }
    }
}

/// Into both slots: should one of them rot, the other still knows the start and the end.
fn write_checkpoint(
    disk: &dyn crate::log::disk::Disk,
    target: &Path,
    checkpoint: &Checkpoint,
) -> Result<(), IoError> {
    if checkpoint.mark.durable_end == Offset::ZERO {
        // The log never had a record.
        return Ok(());
    }
    let mut file = CheckpointFile::create(disk, target)?;
    for _ in 0..2 {
        file.write(disk, target, checkpoint)?;
    }
    Ok(())
}
