//! What the flusher and the housekeeper do with a log, up to its close.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Log;
use crate::log::active::NextSegment;
use crate::log::engine::Job;
use crate::log::error::{IoError, Stopped};
use crate::log::intake::{Calls, Frames, Refusal, Work};
use crate::log::prepared::{self, Prepared};
use crate::log::retention;
use crate::log::writer::Writer;
use crate::sync::{Instant, thread};

/// After a part of a segment was filled the disk is left alone for so many times as long, but no
/// longer than the most. So a segment of 128 MiB takes a few seconds.
const FILL_PAUSES: u32 = 20;
const FILL_PAUSE_MAX: Duration = Duration::from_millis(50);
/// A log that was not written for this long lets go of its files.
const IDLE: Duration = Duration::from_secs(5);

impl Log {
    /// Writes out what the intake holds, and queues the log again if there is more by then: another
    /// worker can go on with that while this one wakes those who waited.
    pub(crate) fn flush(self: &Arc<Self>) {
        let mut writer = self.writer.lock();
        if self.has_refused(Refusal::Failed) {
            // A sync that failed is never tried again.
            return;
        }
        let spare = writer.spare();
        let work = self.intake.lock().take(spare);
        writer.run(self, work);
        let woken = writer.take_woken();
        drop(writer);
        let flusher = {
            let mut intake = self.intake.lock();
            intake.queued = false;
            intake.refusal != Some(Refusal::Failed) && intake.wants_flusher()
        };
        self.call(Calls { timer: false, flusher });
        self.engine.deliver(woken);
    }

    /// The delay of a sync has passed.
    pub(crate) fn sync_due(self: &Arc<Self>) {
        let flusher = {
            let mut intake = self.intake.lock();
            intake.timer_set = false;
            intake.sync_wanted = true;
            intake.wants_flusher()
        };
        self.call(Calls { timer: false, flusher });
    }

    /// Has what was written and not synced synced after the delay.
    pub(crate) fn sync_soon(self: &Arc<Self>) {
        let timer = self.intake.lock().wants_timer();
        self.call(Calls { timer, flusher: false });
    }

    /// Seals the active segment if it is older than it may be.
    pub(crate) fn roll(self: &Arc<Self>) {
        self.roll_queued.store(false, Ordering::Relaxed);
        self.with_writer(|writer| {
            if self.has_refused(Refusal::Failed) || !self.is_over_age(writer) {
                return;
            }
            match writer.seal(self) {
                // On a full disk the segment just stays active.
                Err(error) if !error.is_no_space() => writer.fail(self, error),
                Ok(()) | Err(_) => {}
            }
        });
    }

    /// Makes the checkpoint durable, and the active index with it.
    pub(crate) fn run_checkpoint(&self) {
        self.checkpoint_queued.store(false, Ordering::Relaxed);
        if self.intake.lock().refusal.is_some() {
            // Its close leaves a checkpoint, or nothing may be written any more.
            return;
        }
        self.sync_active_index();
        let saved = or_no_space(self.save_producers_if_due());
        match saved.and_then(|()| self.write_checkpoint(false)) {
            // It stays due; nothing rests on it yet.
            Err(error) if !error.is_no_space() => {
                self.with_writer(|writer| writer.fail(self, error));
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Creates the next segment's files, unless they are there, and has them filled if they are to
    /// be.
    pub(crate) fn prepare(self: &Arc<Self>, next: NextSegment) {
        let mut prepared = self.prepared.lock();
        if prepared.is_some() || self.intake.lock().refusal.is_some() {
            return;
        }
        // Without it the roll creates the files, smaller ones if need be, and meets any error where
        // it matters.
        if next.capacity_bytes > self.engine.space.capacity_bytes_max() {
            return;
        }
        *prepared = Prepared::create(self, next.capacity_bytes).ok();
        if next.is_filled && prepared.is_some() {
            self.queue_fill();
        }
    }

    fn queue_fill(self: &Arc<Self>) {
        if !self.fill_queued.swap(true, Ordering::Relaxed) {
            self.engine.queue_chore(Job::Fill(Arc::clone(self)));
        }
    }

    /// Fills a part of the next segment's files, and queues the log again if there is more, behind
    /// other chores. Then it leaves the disk to others.
    pub(crate) fn fill(self: &Arc<Self>) {
        self.fill_queued.store(false, Ordering::Relaxed);
        if self.must_hurry() {
            return;
        }
        let began = Instant::now();
        if self.fill_on() {
            self.queue_fill();
            thread::sleep((began.elapsed() * FILL_PAUSES).min(FILL_PAUSE_MAX));
        }
    }

    /// Fills the next part; `false` if there is none.
    fn fill_on(&self) -> bool {
        let mut prepared = self.prepared.lock();
        let filled = prepared.as_mut().map(|files| files.fill_on(self));
        if let Some(Err(_)) = filled {
            // The roll creates them again, and meets the same error where it matters.
            *prepared = None;
        }
        matches!(filled, Some(Ok(true)))
    }

    /// Looks after the log: queues what is due. Called about once a second.
    pub(crate) fn look_after(self: &Arc<Self>) {
        self.pace.lock().look(self.taken());
        if self.checkpoint_is_due() {
            self.queue_checkpoint();
        }
        self.retain_if_due();
        let may_be_over_age = match self.writer.try_lock() {
            Some(mut writer) => {
                if writer.rest(IDLE) {
                    // Bound, so that the memory is given back after the intake's lock.
                    let _unused = self.intake.lock().take_unused();
                }
                self.is_over_age(&writer)
            }
            // It may be in use at every look; a worker waits its turn and sees.
            None => retention::roll_age(&self.settings.load()).is_some(),
        };
        if may_be_over_age && !self.roll_queued.swap(true, Ordering::Relaxed) {
            self.engine.queue(Job::Roll(Arc::clone(self)));
        }
    }

    pub(crate) fn queue_checkpoint(self: &Arc<Self>) {
        if !self.checkpoint_queued.swap(true, Ordering::Relaxed) {
            self.engine.queue(Job::Checkpoint(Arc::clone(self)));
        }
    }

    /// Takes no more appends; what was taken is still written.
    pub(crate) fn refuse_appends(&self) {
        self.leaving.fetch_add(1, Ordering::AcqRel);
        let _nobody = self.intake.lock().refuse(Refusal::Closed);
    }

    /// Writes and syncs what is left, and leaves a checkpoint that a start can trust. Appends are
    /// refused already and the flushers have ended. Does nothing to a log that failed or is
    /// damaged.
    pub(crate) fn close(self: &Arc<Self>) -> Result<(), IoError> {
        // Whoever changes files is done with them then.
        let _drops = self.drops.lock();
        let _meta = self.meta.lock();
        self.readers.close();
        self.with_writer(|writer| self.close_writer(writer))
    }

    fn close_writer(self: &Arc<Self>, writer: &mut Writer) -> Result<(), IoError> {
        let work = self.intake.lock().take(Frames::default());
        let refused = [Refusal::Failed, Refusal::Damaged].iter().any(|r| self.has_refused(*r));
        if !refused {
            writer.run(self, Work { sync: true, ..work });
        }
        self.watermark.stop(Stopped::Closed);
        if refused || self.has_refused(Refusal::Failed) {
            return Ok(());
        }
        if self.prepared.lock().take().is_some() {
            prepared::remove(self);
        }
        let touched = self.checkpoint.lock().last.is_some_and(|last| !last.clean);
        if touched {
            self.sync_active_index();
            let (_, saved) = self.save_producers_below(self.watermark.end());
            match or_no_space(saved).and_then(|()| self.write_checkpoint(true)) {
                // The next start finds the end, and the producers, by looking.
                Err(error) if error.is_no_space() => {}
                written => return written,
            }
        }
        Ok(())
    }

    fn is_over_age(&self, writer: &Writer) -> bool {
        let (Some(age_max), Some(first_us)) =
            (retention::roll_age(&self.settings.load()), writer.active_first_time_us())
        else {
            return false;
        };
        let age = Duration::from_micros(self.engine.now_us().saturating_sub(first_us));
        age >= age_max
    }

    fn sync_active_index(&self) {
        let segments = self.segments.load();
        let Some(segment) = segments.last() else {
            return;
        };
        segment.sync_index();
    }
}

/// Passes over a lack of space, where what was to be written can be found by looking.
fn or_no_space(done: Result<(), IoError>) -> Result<(), IoError> {
    done.or_else(|error| if error.is_no_space() { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::path::Path;

    use super::*;
    use crate::log::disk::{Op, SimDisk};
    use crate::log::logs::{DEFAULT_LOG, Logs};
    use crate::log::offset::{Durability, Offset};
    use crate::log::settings::{LogSettings, Options};

    /// A timer that was set before a sync failed used to sync again, and that sync succeeded.
    #[test]
    fn r12_a_timer_that_fires_after_a_failed_sync_does_nothing() {
        let disk = SimDisk::new();
        let options = Options { flushers: 0, min_free_bytes: 0, ..Options::default() };
        let logs = Logs::open(Path::new("/d"), Arc::new(disk.clone()), options).unwrap();
        let log = logs.get(DEFAULT_LOG).unwrap();
        for level in [Durability::Written, Durability::Synced] {
            if level == Durability::Synced {
                disk.fail(Op::Sync, 0, std::io::ErrorKind::Other);
            }
            let _pending = log.append(b"x", NonZeroU32::MIN, level).unwrap();
            logs.work();
        }
        assert!(logs.has_failed());
        let steps = disk.steps();
        log.sync_due();
        logs.work();
        assert_eq!(disk.steps(), steps, "nothing is written or synced");
        assert_eq!(log.bounds().end, Offset::ZERO);
    }

    /// A log under steady load has its writer in use at every look; none of its segments was ever
    /// dropped or rolled for its age then, until the disk was full.
    #[test]
    fn a_log_that_is_always_being_written_drops_and_rolls_too() {
        let defaults = LogSettings {
            segment_bytes_max: 4096,
            retention_bytes: Some(0),
            segment_age_max: Some(Duration::ZERO),
            ..LogSettings::default()
        };
        let options = Options { flushers: 0, min_free_bytes: 0, defaults, ..Options::default() };
        let logs = Logs::open(Path::new("/d"), Arc::new(SimDisk::new()), options).unwrap();
        let log = logs.get(DEFAULT_LOG).unwrap();
        for _ in 0..100 {
            let _pending = log.append(&[7; 1000], NonZeroU32::MIN, Durability::Synced).unwrap();
            logs.work();
        }
        assert!(log.segments.load().len() > 20);
        for _ in 0..2 {
            let writer = log.writer.lock();
            log.look_after();
            drop(writer);
            logs.work();
        }
        assert_eq!(log.bounds().start, log.bounds().end, "also the active segment rolled and went");
    }
}
