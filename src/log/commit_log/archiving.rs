//! Copies of segments in the archive, made before the segments go.

use std::path::Path;
use std::time::Duration;

use super::Log;
use crate::log::archive::{self, Place};
use crate::log::error::IoError;
use crate::log::offset::Offset;
use crate::log::settings::LogSettings;

/// An archive that failed is tried again by retention after this time.
const RETRY: Duration = Duration::from_secs(60);

/// How archiving went.
#[derive(Debug, Default)]
pub(super) struct Archiving {
    /// When the last attempt failed, on the clock that never jumps.
    failed_at: Option<Duration>,
}

impl Log {
    /// Whether the archive failed a short while ago.
    pub(super) fn archive_must_wait(&self, settings: &LogSettings) -> bool {
        settings.archive
            && self.archiving.lock().failed_at.is_some_and(|failed_at| {
                self.engine.clock.running().saturating_sub(failed_at) < RETRY
            })
    }

    /// Archives the sealed segments below `before`, if the log's are to be. Returns how far they
    /// are, and why no further. The caller holds `drops`.
    pub(super) fn archive_before(&self, before: Offset) -> (Offset, Option<IoError>) {
        if !self.settings.load().archive {
            return (before, None);
        }
        let Some(directory) = &self.engine.options.archive else {
            // Set when the server had an archive: without one nothing is dropped.
            let error = IoError::at("find", Path::new("the archive directory"));
            let error = error(std::io::ErrorKind::NotFound.into());
            self.archive_failed(&error);
            return (self.start(), Some(error));
        };
        let place = Place { directory, log: (&self.name, self.id) };
        let may_go_on = || !self.must_hurry();
        for segment in self.segments.load_full().iter() {
            if segment.end() > before || !segment.is_sealed() {
                break;
            }
            let path = segment.store_path();
            match archive::keep(&*self.engine.disk, &place, &path, segment.base(), &may_go_on) {
                Ok(()) => self.archive_worked(),
                Err(error) => {
                    self.archive_failed(&error);
                    return (segment.base(), Some(error));
                }
            }
        }
        (before, None)
    }

    fn archive_worked(&self) {
        if self.archiving.lock().failed_at.take().is_some() {
            log::info!(log:% = self.name(); "archive_works");
        }
    }

    /// Says so once, until it works again.
    fn archive_failed(&self, error: &IoError) {
        if self.must_hurry() {
            // It was ended.
            return;
        }
        let now = self.engine.clock.running();
        let is_news = self.archiving.lock().failed_at.replace(now).is_none();
        if is_news {
            log::warn!(
                log:% = self.name(), kept = "segments", error:err = *error;
                "archive_failed"
            );
        }
    }
}
