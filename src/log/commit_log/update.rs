//! Changing a log's settings while it is used.

use std::sync::Arc;

use super::Log;
use crate::log::error::{IoError, SYNC, UpdateError};
use crate::log::intake::Refusal;
use crate::log::meta::Meta;
use crate::log::settings::LogOverrides;

impl Log {
    /// The settings that were set for this log. Waits for a change under way.
    #[must_use]
    pub fn overrides(&self) -> LogOverrides {
        self.meta.lock().overrides.clone()
    }

    /// Changes the settings that were set for this log by `change`, and returns them. They are
    /// durable and in force then: for appends at once, for segments from the next append on. Blocks
    /// on the disk; calls serialize.
    ///
    /// # Errors
    ///
    /// After any of them the settings are as they were; after `Unavailable` only until a restart,
    /// which may find either.
    pub fn update(
        self: &Arc<Self>,
        change: impl FnOnce(&mut LogOverrides),
    ) -> Result<LogOverrides, UpdateError> {
        let mut meta = self.meta.lock();
        let mut overrides = meta.overrides.clone();
        change(&mut overrides);
        overrides.check(self.engine.options.archive.is_some())?;
        match self.intake.lock().refusal {
            Some(Refusal::Deleted) => return Err(UpdateError::Deleted),
            Some(Refusal::Closed | Refusal::Failed) => return Err(UpdateError::Unavailable),
            Some(Refusal::Damaged | Refusal::Leaving) | None => {}
        }
        if overrides == meta.overrides {
            return Ok(overrides);
        }
        let changed = Meta { overrides, ..meta.clone() };
        changed.write(&*self.engine.disk, &self.directory)?;
        if let Err(error) = self.sync_own_directory() {
            // Which of the two a start will find nobody knows.
            self.with_writer(|writer| writer.fail(self, error));
            return Err(UpdateError::Unavailable);
        }
        self.settings.store(Arc::new(changed.overrides.over(&self.engine.options.defaults)));
        *meta = changed;
        Ok(meta.overrides.clone())
    }

    fn sync_own_directory(&self) -> Result<(), IoError> {
        let synced = self.engine.disk.sync_directory(&self.directory);
        synced.map_err(IoError::at(SYNC, &self.directory))
    }
}
