//! Deleting a log: nobody is told anything wrong, and the name is free for another log.
//!
//! Appends are held back while the writer finishes what was taken; only then is the end compared,
//! and if it is another than expected the log goes on as if nothing had happened. The directory is
//! moved away under all locks that are held across file operations, and whoever takes one of them
//! later finds that the log is gone: its path may be that of another log by then.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Log;
use crate::fail_points::fail_point;
use crate::log::error::{DeleteError, IoError, SYNC, Stopped};
use crate::log::intake::{Frames, Refusal, Work};
use crate::log::offset::Offset;
use crate::log::writer::Writer;

impl Log {
    /// Returns once nobody is at work on which segments there are, as a backup is. What can be done
    /// another time ends for it.
    pub(crate) fn wait_for_drops(&self) {
        self.leaving.fetch_add(1, Ordering::AcqRel);
        drop(self.drops.lock());
        self.leaving.fetch_sub(1, Ordering::AcqRel);
    }

    /// Moves the log's directory to `target` durably, if the log ends at `expected`, and ends the
    /// log for all who use it. `target` and the log's directory lie in different directories.
    pub(crate) fn leave(
        self: &Arc<Self>,
        expected: Option<Offset>,
        target: &Path,
    ) -> Result<(), DeleteError> {
        self.leaving.fetch_add(1, Ordering::AcqRel);
        let left = {
            let _drops = self.drops.lock();
            let _meta = self.meta.lock();
            self.with_writer(|writer| self.leave_with(writer, expected, target))
        };
        if left.is_err() {
            self.leaving.fetch_sub(1, Ordering::AcqRel);
        }
        left
    }

    fn leave_with(
        self: &Arc<Self>,
        writer: &mut Writer,
        expected: Option<Offset>,
        target: &Path,
    ) -> Result<(), DeleteError> {
        let before = self.hold_back(writer, expected)?;
        match self.move_away(target) {
            Ok(()) => {}
            Err(error) if error.op != SYNC => {
                self.go_on(before);
                return Err(error.into());
            }
            // Which of the two a start will find nobody knows.
            Err(error) => {
                writer.fail(self, error);
                return Err(DeleteError::Failed);
            }
        }
        writer.leave();
        for segment in self.segments.load().iter() {
            segment.retire();
        }
        self.intake.lock().refusal = Some(Refusal::Deleted);
        self.watermark.stop(Stopped::Deleted);
        Ok(())
    }

    /// Has all that was taken written, and takes no more if the log ends at `expected` then.
    /// Returns what was refused before.
    fn hold_back(
        self: &Arc<Self>,
        writer: &mut Writer,
        expected: Option<Offset>,
    ) -> Result<Option<Refusal>, DeleteError> {
        loop {
            self.drain(writer);
            let before = {
                let mut intake = self.intake.lock();
                match intake.refusal {
                    Some(Refusal::Failed) => return Err(DeleteError::Failed),
                    Some(Refusal::Closed) => return Err(DeleteError::Closed),
                    Some(Refusal::Leaving | Refusal::Deleted | Refusal::Damaged) | None => {}
                }
                let is_there = expected.is_none_or(|expected| expected == intake.next);
                is_there.then(|| intake.refusal.replace(Refusal::Leaving))
            };
            self.drain(writer);
            let end = self.watermark.end();
            match (before, expected) {
                (Some(before), None) => return self.unless_failed(before),
                (Some(before), Some(expected)) if end == expected => {
                    return self.unless_failed(before);
                }
                // What was appended last was lost for lack of space.
                (Some(before), Some(_)) => self.go_on(before),
                (None, Some(expected)) if end != expected => {
                    return Err(DeleteError::NotAtEnd { expected, end });
                }
                (None, _) => {}
            }
        }
    }

    fn unless_failed(&self, before: Option<Refusal>) -> Result<Option<Refusal>, DeleteError> {
        if self.has_refused(Refusal::Failed) { Err(DeleteError::Failed) } else { Ok(before) }
    }

    /// The log stays after all.
    fn go_on(&self, before: Option<Refusal>) {
        let mut intake = self.intake.lock();
        if intake.refusal == Some(Refusal::Leaving) {
            intake.refusal = before;
        }
    }

    fn drain(self: &Arc<Self>, writer: &mut Writer) {
        if [Refusal::Failed, Refusal::Damaged].iter().any(|refusal| self.has_refused(*refusal)) {
            return;
        }
        let work = self.intake.lock().take(Frames::default());
        writer.run(self, Work { sync: true, ..work });
    }

    fn move_away(&self, target: &Path) -> Result<(), IoError> {
        let mut prepared = self.prepared.lock();
        let mut checkpoint = self.checkpoint.lock();
        let disk = &*self.engine.disk;
        self.readers.close_with(|| {
            let renamed = disk.rename(&self.directory, target);
            renamed.map_err(IoError::at("rename", &self.directory))
        })?;
        // Told under the locks that whoever writes files takes, before the syncs, of which one may
        // fail: the path is free.
        self.is_gone.store(true, Ordering::Release);
        fail_point!("deletion::renamed");
        *prepared = None;
        checkpoint.file = None;
        for above in [self.directory.parent(), target.parent()].into_iter().flatten() {
            disk.sync_directory(above).map_err(IoError::at(SYNC, above))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::path::Path;

    use crate::log::disk::SimDisk;
    use crate::log::logs::Logs;
    use crate::log::names::LogName;
    use crate::log::offset::Durability;
    use crate::log::settings::{LogOverrides, Options};
    use crate::log::store::StoreFault;

    use super::*;

    /// To look into a file of that name would be to look into another log's.
    #[test]
    fn a_segment_of_a_deleted_log_opens_no_file() {
        let options = Options { flushers: 0, min_free_bytes: 0, ..Options::default() };
        let logs = Logs::open(Path::new("/d"), Arc::new(SimDisk::new()), options).unwrap();
        let make = || {
            let name = LogName::parse("orders").unwrap();
            let log = logs.create(&name, LogOverrides::default()).unwrap();
            let _pending = log.append(b"x", NonZeroU32::MIN, Durability::Synced).unwrap();
            logs.work();
            log
        };
        let segment = Arc::clone(&make().segments.load()[0]);
        assert!(segment.files().is_ok());
        logs.delete("orders", None, None).unwrap();
        make();
        assert!(matches!(segment.files(), Err(StoreFault::Io(_))));
    }
}
