//! Backups: folders that are data directories themselves, without a lock and a trash.
//!
//! A backup is built under a name that ends in `.part`, made durable, and renamed: it is there
//! whole or not at all. What is left of one that was cut short goes at the next attempt, and in a
//! data directory at the next start, unless its lock says that somebody is at it.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{Logs, at_once, make_directory};
use crate::fail_points::fail_point;
use crate::log::commit_log::{BackedUp, Log};
use crate::log::copies::{self, MayGoOn};
use crate::log::disk::{Disk, Lock};
use crate::log::error::{BackUpError, IoError, OpenError, SYNC};
use crate::log::names::{self, BackupName, LogName};
use crate::log::settings::Options;
use crate::log::verify::{self, Verified, VerifyProgress};
use crate::log::{lock, parallel, trash};

/// Logs that are backed up at once. With links it is the disk's syncs that take time.
const LOGS_AT_ONCE: usize = 4;
/// Threads that check a backup, beside a server that has other work.
const CHECK_THREADS: usize = 1;
/// What an unfinished backup may have in it.
const PARTS: [&str; 3] = ["LOCK", "clock", "logs"];

/// A backup that was made.
#[derive(Debug)]
pub struct MadeBackup {
    /// What is in it.
    pub logs: Vec<BackedUp>,
    /// How long it took to make.
    pub took: Duration,
    /// What the check found, if there was one.
    pub checked: Option<Result<Verified, OpenError>>,
}

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
        let Some(_turn) = self.backing_up.try_lock() else {
            return Err(BackUpError::Busy);
        };
        self.make_backup(target, names, copied)
    }

    /// As [`Logs::back_up`], in the folder `backups` of the data directory. With `is_checked` every
    /// byte is read again afterwards, before anyone can make another.
    ///
    /// # Errors
    ///
    /// As [`Logs::back_up`].
    pub fn back_up_as(
        &self,
        name: &BackupName,
        names: &[LogName],
        is_checked: bool,
    ) -> Result<MadeBackup, BackUpError> {
        let Some(_turn) = self.backing_up.try_lock() else {
            return Err(BackUpError::Busy);
        };
        let above = names::backups(&self.data);
        make_directory(&*self.engine.disk, &above)?;
        let folder = above.join(name.as_str());
        let began = Instant::now();
        let logs = self.make_backup(&folder, names, &|_| {})?;
        let took = began.elapsed();
        let checked = is_checked.then(|| self.check_backup(&folder));
        Ok(MadeBackup { logs, took, checked })
    }

    /// The caller has the turn.
    fn make_backup(
        &self,
        target: &Path,
        names: &[LogName],
        copied: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<BackedUp>, BackUpError> {
        // The set is closed after this.
        let _removing = self.removing.read();
        if self.running.lock().is_none() {
            return Err(BackUpError::Closed);
        }
        let find = |name: &LogName| {
            self.get(name.as_str()).ok_or_else(|| BackUpError::NotFound { name: name.to_string() })
        };
        let logs = match names {
            [] => self.list(),
            named => {
                // One may be named twice.
                let named = named.iter().collect::<BTreeSet<_>>();
                named.into_iter().map(find).collect::<Result<_, _>>()?
            }
        };
        let may_go_on = |bytes| {
            copied(bytes);
            !self.engine.is_closing()
        };
        let at_once = at_once(&self.engine.options).min(LOGS_AT_ONCE);
        let made = make(&*self.engine.disk, &self.data, (&logs, at_once), target, &may_go_on);
        made.map_err(|error| if self.engine.is_closing() { BackUpError::Closed } else { error })
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
    let above = names::above(target);
    let (place, backups) = (resolved(above), resolved(&names::backups(data)));
    if place != backups && place.starts_with(resolved(data)) {
        return Err(BackUpError::Misplaced { path: target.to_owned(), backups });
    }
    if target.to_string_lossy().ends_with(names::UNFINISHED) {
        return Err(BackUpError::Unfinished { path: target.to_owned() });
    }
    if disk.list(target).is_ok() || disk.open_to_read(target).is_ok() {
        return Err(BackUpError::Exists { path: target.to_owned() });
    }
    let building = names::unfinished(target);
    remove(disk, &building)?;
    disk.create_directory(&building).map_err(IoError::at("create", &building))?;
    let made = build(disk, data, logs, &building, may_go_on).and_then(|made| {
        fail_point!("backup::built");
        disk.rename(&building, target).map_err(IoError::at("rename", &building))?;
        Ok(made)
    });
    let (made, _claim) = match made {
        Ok(made) => made,
        Err(error) => {
            // It may be what fills the disk. What cannot be removed goes at the next attempt.
            let _removed = remove(disk, &building);
            return Err(error);
        }
    };
    // Nothing needs it any more, and a file that stays does no harm.
    let _removed = disk.remove(&names::lock(target));
    disk.sync_directory(above).map_err(IoError::at(SYNC, above))?;
    Ok(made)
}

/// Without links, if it is there.
fn resolved(path: &Path) -> PathBuf {
    let absolute = || std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    fs::canonicalize(path).unwrap_or_else(|_| absolute())
}

/// What was made, and what keeps others from removing it before it has its name.
type Made = (Vec<BackedUp>, Option<Box<dyn Lock>>);

fn build(
    disk: &dyn Disk,
    data: &Path,
    (logs, at_once): (&[Arc<Log>], usize),
    building: &Path,
    may_go_on: MayGoOn<'_>,
) -> Result<Made, BackUpError> {
    let inner = names::logs(building);
    let claim = claim(disk, building)?;
    disk.create_directory(&inner).map_err(IoError::at("create", &inner))?;
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
    Ok((copied, claim))
}

/// Refuses a data directory into which a backup was not wholly restored: its logs would look as if
/// they had never been.
pub(super) fn refuse_unrestored(disk: &dyn Disk, data: &Path) -> Result<(), OpenError> {
    let path = names::restoring(data);
    match disk.list(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(IoError::at("list", &path)(e).into()),
        Ok(_) => {
            let what = "is a restore that was cut short: run it again, or remove this folder";
            Err(OpenError::Invalid { path, what: what.to_owned() })
        }
    }
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
            Ok(true) => log::warn!(path:% = path.display(); "backup_removed"),
            Ok(false) | Err(BackUpError::Busy) => {}
            Err(error) => {
                log::warn!(path:% = path.display(), error:err; "backup_not_removed");
            }
        }
    }
}

/// Takes an unfinished backup for this process; `None` where the file system has no locks.
fn claim(disk: &dyn Disk, building: &Path) -> Result<Option<Box<dyn Lock>>, BackUpError> {
    let has_none = |error: &IoError| {
        let lacking = [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP].map(Errno::raw_os_error);
        error.source.raw_os_error().is_some_and(|number| lacking.contains(&number))
    };
    match lock::take(disk, building) {
        Err(OpenError::Owned { .. }) => Err(BackUpError::Busy),
        Err(OpenError::Io(error)) if has_none(&error) => Ok(None),
        taken => Ok(Some(taken?)),
    }
}

/// Removes an unfinished backup that nobody is making; whether there was one.
fn remove(disk: &dyn Disk, building: &Path) -> Result<bool, BackUpError> {
    let found = match disk.list(building) {
        Ok(found) => found,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(IoError::at("list", building)(e).into()),
    };
    let has_claim = found.iter().any(|name| building.join(name) == names::lock(building));
    let _claim = if has_claim { claim(disk, building)? } else { None };
    if found.iter().any(|name| !PARTS.contains(&name.as_str())) {
        let what = "is no unfinished backup, and a backup would have to replace it".to_owned();
        return Err(OpenError::Invalid { path: building.to_owned(), what }.into());
    }
    trash::remove_all(disk, building, &|| true)?;
    Ok(true)
}
