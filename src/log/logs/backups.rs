//! Backups: folders that are data directories themselves, without a lock and a trash.
//!
//! A backup is built under a name that ends in `.part`, made durable, and renamed: it is there
//! whole or not at all. What is left of one that was cut short goes at the next attempt, and in a
//! data directory at the next start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Logs, at_once, make_directory};
use crate::fail_points::fail_point;
use crate::log::commit_log::{BackedUp, Log};
use crate::log::copies::{self, MayGoOn};
use crate::log::disk::Disk;
use crate::log::error::{BackUpError, IoError, OpenError, SYNC};
use crate::log::names::{self, BackupName, LogName};
use crate::log::settings::Options;
use crate::log::verify::{self, Verified, VerifyProgress};
use crate::log::{parallel, trash};

/// Logs that are backed up at once. With links it is the disk's syncs that take time.
const LOGS_AT_ONCE: usize = 4;
/// Threads that check a backup, beside a server that has other work.
const CHECK_THREADS: usize = 1;

impl Logs {
    /// Makes the folder `target`, which must not exist, a backup of the logs that are named, or of
    /// all if none is: whatever was durable before the call is in it. Durable on return. Appends
    /// go on; trims and deletions wait for their log. Blocks on the disk.
    ///
    /// Stores are linked where the file system has links, so the backup shares the disk's fate
    /// until it is copied elsewhere. `copied` is told of the bytes that had to be copied.
    ///
    /// # Errors
    ///
    /// After any of them there is no backup, but after a failed sync there may be one.
    pub fn back_up(
        &self,
        target: &Path,
        names: &[LogName],
        copied: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<BackedUp>, BackUpError> {
        // The set is closed after this.
        let _removing = self.removing.read();
        let Some(_one) = self.backing_up.try_lock() else {
            return Err(BackUpError::Busy);
        };
        if self.running.lock().is_none() {
            return Err(BackUpError::Closed);
        }
        let find = |name: &LogName| {
            self.get(name.as_str()).ok_or_else(|| BackUpError::NotFound { name: name.to_string() })
        };
        let logs = match names {
            [] => self.list(),
            named => named.iter().map(find).collect::<Result<_, _>>()?,
        };
        let may_go_on = |bytes| {
            copied(bytes);
            !self.engine.is_closing()
        };
        let at_once = at_once(&self.engine.options).min(LOGS_AT_ONCE);
        let made = make(&*self.engine.disk, &self.data, (&logs, at_once), target, &may_go_on);
        made.map_err(|error| if self.engine.is_closing() { BackUpError::Closed } else { error })
    }

    /// As [`Logs::back_up`], in the folder `backups` of the data directory, which it returns too.
    ///
    /// # Errors
    ///
    /// As [`Logs::back_up`].
    pub fn back_up_as(
        &self,
        name: &BackupName,
        names: &[LogName],
    ) -> Result<(PathBuf, Vec<BackedUp>), BackUpError> {
        let above = names::backups(&self.data);
        make_directory(&*self.engine.disk, &above)?;
        let target = above.join(name.as_str());
        let made = self.back_up(&target, names, &|_| {})?;
        Ok((target, made))
    }

    /// Checks every byte of the backup in `folder`, slowly. Ends early when the set is to close.
    ///
    /// # Errors
    ///
    /// As [`verify`](crate::log::verify()); `Io` with `Interrupted` if it ended early.
    pub fn check_backup(&self, folder: &Path) -> Result<Verified, OpenError> {
        let progress = Arc::new(VerifyProgress::default());
        self.checks.lock().push(Arc::downgrade(&progress));
        if self.engine.is_closing() {
            progress.end();
        }
        let disk = &*self.engine.disk;
        let verified = verify::verify(disk, folder, &[], CHECK_THREADS, &progress);
        self.checks.lock().retain(|check| !std::ptr::eq(check.as_ptr(), &raw const *progress));
        verified
    }

    pub(super) fn end_checks(&self) {
        self.checks.lock().iter().filter_map(std::sync::Weak::upgrade).for_each(|c| c.end());
    }
}

/// As [`Logs::back_up`], of the data directory `data` that no server has. It is put in order first,
/// as a start does.
///
/// # Errors
///
/// `Open` with `Owned` if a server has the directory, with `Invalid` if it is none; those of
/// [`Logs::back_up`].
pub fn back_up_at_rest(
    disk: &Arc<dyn Disk>,
    data: &Path,
    target: &Path,
    names: &[LogName],
    copied: &(dyn Fn(u64) + Sync),
) -> Result<Vec<BackedUp>, BackUpError> {
    // A folder that is no data directory does not become one.
    verify::list(&**disk, data)?;
    let (flushers, logs_max, min_free_bytes) = (0, 0, 0);
    let quiet = Options { flushers, logs_max, min_free_bytes, ..Options::default() };
    let logs = Logs::open(data, Arc::clone(disk), quiet)?;
    let made = logs.back_up(target, names, copied);
    // What could not be closed the next start puts in order; the backup is there.
    let _closed = logs.close();
    made
}

/// Makes the folder `target` a backup of `logs`, so many of them at once, which are those of the
/// data directory `data`.
fn make(
    disk: &dyn Disk,
    data: &Path,
    logs: (&[Arc<Log>], usize),
    target: &Path,
    may_go_on: MayGoOn<'_>,
) -> Result<Vec<BackedUp>, BackUpError> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let own = [names::logs(data), names::trash(data)];
    if own.iter().any(|own| absolute(target).starts_with(absolute(own))) {
        let what = "cannot be the backup: it belongs to the data directory's own files".to_owned();
        return Err(OpenError::Invalid { path: target.to_owned(), what }.into());
    }
    if disk.list(target).is_ok() || disk.open_to_read(target).is_ok() {
        return Err(BackUpError::Exists { path: target.to_owned() });
    }
    let building = names::unfinished(target);
    remove(disk, &building)?;
    let made = build(disk, data, logs, &building, may_go_on).and_then(|made| {
        fail_point!("backup::built");
        disk.rename(&building, target).map_err(IoError::at("rename", &building))?;
        Ok(made)
    });
    if made.is_err() {
        // It may be what fills the disk. What cannot be removed goes at the next attempt.
        let _removed = remove(disk, &building);
        return made;
    }
    let above = target.parent().filter(|above| !above.as_os_str().is_empty());
    let above = above.unwrap_or(Path::new("."));
    disk.sync_directory(above).map_err(IoError::at(SYNC, above))?;
    made
}

fn build(
    disk: &dyn Disk,
    data: &Path,
    (logs, at_once): (&[Arc<Log>], usize),
    building: &Path,
    may_go_on: MayGoOn<'_>,
) -> Result<Vec<BackedUp>, BackUpError> {
    let inner = names::logs(building);
    for directory in [building, &inner] {
        disk.create_directory(directory).map_err(IoError::at("create", directory))?;
    }
    let copied = parallel::each(at_once, logs, |log| {
        if may_go_on(0) {
            log.back_up(&inner.join(log.name()), may_go_on)
        } else {
            Err(BackUpError::Closed)
        }
    });
    let copied = copied.into_iter().filter_map(Result::transpose);
    let copied = copied.collect::<Result<Vec<_>, _>>()?;
    let clock = names::clock(data);
    if disk.open_to_read(&clock).is_ok() {
        copies::copy(disk, &clock, &names::clock(building), may_go_on)?;
    }
    for directory in [&*inner, building] {
        disk.sync_directory(directory).map_err(IoError::at(SYNC, directory))?;
    }
    Ok(copied)
}

/// Refuses a data directory into which a backup was not wholly restored: its logs would look as if
/// they had never been.
pub(super) fn refuse_unrestored(disk: &dyn Disk, data: &Path) -> Result<(), OpenError> {
    let path = names::restoring(data);
    if disk.list(&path).is_err() {
        return Ok(());
    }
    let what = "is a restore that was cut short: run it again, or remove this folder";
    Err(OpenError::Invalid { path, what: what.to_owned() })
}

/// Removes what is left of backups in the data directory `data` that were cut short. What cannot be
/// removed is no reason not to start.
pub(super) fn remove_unfinished(disk: &dyn Disk, data: &Path) {
    let above = names::backups(data);
    // There need not be any.
    let names = disk.list(&above).unwrap_or_default();
    for name in names.iter().filter(|name| name.ends_with(names::UNFINISHED)) {
        let path = above.join(name);
        match remove(disk, &path) {
            Ok(()) => log::warn!(path:% = path.display(); "backup_removed"),
            Err(error) => {
                log::warn!(path:% = path.display(), error:err; "backup_not_removed");
            }
        }
    }
}

fn remove(disk: &dyn Disk, building: &Path) -> Result<(), IoError> {
    if disk.list(building).is_err() {
        return Ok(());
    }
    trash::remove_all(disk, building, &|| true)
}
