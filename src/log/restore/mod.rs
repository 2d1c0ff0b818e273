//! Puts a backup, or another data directory that is at rest, into a new data directory: whole, or
//! each log up to an offset or a time.
//!
//! Nothing is linked: what a server writes into the new directory must never reach the backup. The
//! logs are built in a folder `logs.part`, made durable, and renamed to `logs`; no server starts on
//! a directory with such a folder, and another restore into it begins anew.
//!
//! Files: `plan` (what a log will be), `act` (makes it so).

mod act;
mod plan;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use self::act::Work;
use self::plan::Planned;
use super::copies::{self, MayGoOn};
use super::disk::{Disk, Lock};
use super::error::{IoError, OpenError, ReaderError, SYNC};
use super::names::{self, LogName};
use super::offset::Offset;
use super::{lock, trash, verify};

/// What a directory may hold that a restore fills: `lost+found` is the file system's own, the rest
/// is left of a restore that was cut short.
const MAY_BE_THERE: [&str; 4] = ["LOCK", "clock", "logs.part", "lost+found"];

/// Where logs are cut. A batch is kept whole or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// Nowhere.
    #[default]
    Nowhere,
    /// These before the batch that holds the offset; the others nowhere.
    Offsets(BTreeMap<LogName, Offset>),
    /// All before the first batch that was appended at this time or later, in microseconds since
    /// the Unix epoch.
    Time(u64),
}

/// A log as it will be, or is, after a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredLog {
    /// Its name.
    pub log: LogName,
    /// The first offset that it holds.
    pub start: Offset,
    /// The offset after its last record.
    pub end: Offset,
    /// The same in the backup.
    pub backup_end: Offset,
    /// Bytes of the stores that are copied for it.
    pub store_bytes: u64,
    /// How many readers stood behind the end and stand at it now.
    pub readers_moved: usize,
}

/// Why nothing was restored. The target has no logs.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// A server runs on what is to be restored.
    #[error("a server runs on {}; back it up, and restore the backup", path.display())]
    InUse {
        /// The folder that was to be restored.
        path: PathBuf,
    },
    /// The target has something in it already.
    #[error("{} is not empty: it has {found:?}", path.display())]
    NotEmpty {
        /// The target.
        path: PathBuf,
        /// Something in it.
        found: String,
    },
    /// A log is to be cut that is not to be restored.
    #[error("log {log} is to end at an offset, and is not among the logs to restore")]
    NotChosen {
        /// The log.
        log: LogName,
    },
    /// A log cannot be cut there.
    #[error(
        "log {log} cannot end at offset {offset}: the backup has {start} up to but not including \
         {end}"
    )]
    OutOfRange {
        /// The log.
        log: LogName,
        /// The offset that was asked for.
        offset: Offset,
        /// The first offset that the backup holds.
        start: Offset,
        /// The offset after the last one.
        end: Offset,
    },
    /// Where a log ends that was not closed in order only a start can tell, and so what is kept of
    /// its last segment.
    #[error(
        "log {log} was not closed in order, and cannot be cut within its last segment; make a \
         backup of it with `varve backup --data-dir`, which puts it in order, and cut that"
    )]
    NotInOrder {
        /// The log.
        log: LogName,
    },
    /// The readers of a log could not be written.
    #[error("the readers of log {log} could not be restored")]
    Readers {
        /// The log.
        log: LogName,
        /// Why not.
        source: ReaderError,
    },
    /// The folder, or a log in it, is none that can be restored.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// A restore that is planned.
#[derive(Debug)]
pub struct Restore {
    disk: Arc<dyn Disk>,
    backup: PathBuf,
    target: PathBuf,
    planned: Vec<Planned>,
}

impl Restore {
    /// Plans to put the logs of `backup` that are named, or all if none is, into the directory
    /// `target`, which must be absent or empty. Changes nothing.
    ///
    /// # Errors
    ///
    /// `InUse`, `NotEmpty`, `NotChosen`, `OutOfRange`, `NotInOrder`; `Open` with `Absent` if the
    /// backup has no log of a name, and if it is no backup; `Io`.
    pub fn plan(
        disk: &Arc<dyn Disk>,
        backup: &Path,
        target: &Path,
        logs: &[LogName],
        cut: &Cut,
    ) -> Result<Self, RestoreError> {
        let lock = names::lock(backup);
        if disk.is_locked(&lock).map_err(IoError::at("look at", &lock))? {
            return Err(RestoreError::InUse { path: backup.to_owned() });
        }
        refuse_filled(&**disk, target)?;
        let cut_logs: &mut dyn Iterator<Item = &LogName> = match cut {
            Cut::Offsets(offsets) => &mut offsets.keys(),
            Cut::Nowhere | Cut::Time(_) => &mut std::iter::empty(),
        };
        let wanted = chosen(&**disk, backup, logs, cut_logs)?;
        let planned = wanted.into_iter().map(|name| Planned::of(disk, backup, name, cut));
        let planned = planned.collect::<Result<_, _>>()?;
        let (backup, target) = (backup.to_owned(), target.to_owned());
        Ok(Self { disk: Arc::clone(disk), backup, target, planned })
    }

    /// What each log will be.
    pub fn logs(&self) -> impl Iterator<Item = &RestoredLog> {
        self.planned.iter().map(|planned| &planned.told)
    }

    /// Does it; durable on return. `copied` is told of the bytes that were copied.
    ///
    /// # Errors
    ///
    /// `Open` with `Owned` if a server has the target, and all others of `plan`. What was done is
    /// done anew by another restore into the same target.
    pub fn run(&self, copied: &(dyn Fn(u64) + Sync)) -> Result<(), RestoreError> {
        let disk = &*self.disk;
        let _lock = self.claim()?;
        let building = names::restoring(&self.target);
        if disk.list(&building).is_ok() {
            trash::remove_all(disk, &building, &|| true)?;
        }
        disk.create_directory(&building).map_err(IoError::at("create", &building))?;
        // A server that starts meanwhile, or after a power cut, is to know.
        self.sync(&self.target)?;
        let may_go_on: MayGoOn<'_> = &|bytes| {
            copied(bytes);
            true
        };
        for planned in &self.planned {
            Work { disk: &self.disk, planned, target: &building, may_go_on }.run()?;
        }
        self.sync(&building)?;
        let (clock, target_clock) = (names::clock(&self.backup), names::clock(&self.target));
        if disk.open_to_read(&clock).is_ok() {
            // Of a restore that was cut short; absent in most cases.
            let _absent = disk.remove(&target_clock);
            copies::copy(disk, &clock, &target_clock, may_go_on)?;
        }
        let logs = names::logs(&self.target);
        disk.rename(&building, &logs).map_err(IoError::at("rename", &building))?;
        self.sync(&self.target)
    }

    /// Makes the target, and takes it for this process.
    fn claim(&self) -> Result<Box<dyn Lock>, RestoreError> {
        match self.disk.create_directory(&self.target) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => {
                return Err(IoError::at("create", &self.target)(e).into());
            }
            Ok(()) | Err(_) => {}
        }
        self.sync(names::above(&self.target))?;
        let lock = lock::take(&*self.disk, &self.target)?;
        refuse_filled(&*self.disk, &self.target)?;
        Ok(lock)
    }

    fn sync(&self, directory: &Path) -> Result<(), RestoreError> {
        Ok(self.disk.sync_directory(directory).map_err(IoError::at(SYNC, directory))?)
    }
}

/// The logs of the backup that are named, or all.
fn chosen<'a>(
    disk: &dyn Disk,
    backup: &Path,
    logs: &'a [LogName],
    cut: &mut dyn Iterator<Item = &'a LogName>,
) -> Result<Vec<LogName>, RestoreError> {
    let above = names::logs(backup);
    let parse = |name: &String| {
        LogName::parse_any(name).map_err(|e| OpenError::Invalid {
            path: above.join(name),
            what: format!("is in the directory of the logs and is none: {e}"),
        })
    };
    let mut held: Vec<LogName> =
        verify::list(disk, backup)?.iter().map(parse).collect::<Result<_, _>>()?;
    held.sort_unstable();
    let cut: Vec<&LogName> = cut.collect();
    if let Some(name) = logs.iter().chain(cut.iter().copied()).find(|name| !held.contains(name)) {
        return Err(OpenError::Absent { name: name.to_string(), path: above }.into());
    }
    held.retain(|name| logs.is_empty() || logs.contains(name));
    match cut.into_iter().find(|name| !held.contains(name)) {
        Some(name) => Err(RestoreError::NotChosen { log: name.clone() }),
        None => Ok(held),
    }
}

fn refuse_filled(disk: &dyn Disk, target: &Path) -> Result<(), RestoreError> {
    let found = match disk.list(target) {
        Ok(found) => found,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(IoError::at("list", target)(e).into()),
    };
    match found.into_iter().find(|name| !MAY_BE_THERE.contains(&name.as_str())) {
        Some(found) => Err(RestoreError::NotEmpty { path: target.to_owned(), found }),
        None => Ok(()),
    }
}
