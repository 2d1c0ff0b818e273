//! Checks every byte of a data directory that has a checksum, and changes none.
//!
//! The stores are walked as recovery walks them, several at a time, and judged by its rule: below
//! the highest durable end that anything valid names, whatever is not there is damage; above it is
//! where writing stopped. Beside that each index entry is compared with its frame, and the files
//! beside the stores are read.
//!
//! A server may run on the directory meanwhile. Then nothing is judged at or above the durable end
//! of the checkpoint: what stands there is on its way.
//!
//! Files: `fault` (what is reported), `walk` (one store), `judge` (a log's stores together),
//! `entries` (an index beside its store), `beside` (the other files of a log).

mod beside;
mod entries;
mod fault;
mod judge;
mod walk;

use std::path::{Path, PathBuf};

use self::beside::Beside;
pub use self::fault::{Fault, Meaning};
use self::judge::{Judged, durable_end, strays};
use self::walk::{Task, Walked};
use super::checkpoint::Slots;
use super::disk::{Disk, ReadOnly};
use super::error::{IoError, OpenError};
use super::names::{self, LogName};
use super::offset::{LogId, Offset};
use super::parallel;
use super::reached::bounds;
use super::store::StoreFault;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How far a check is, for those who watch it from another thread.
#[derive(Debug, Default)]
pub struct VerifyProgress {
    total_bytes: AtomicU64,
    done_bytes: AtomicU64,
    is_ended: AtomicBool,
}

impl VerifyProgress {
    /// Bytes of stores that were checked, and that will have been; the second is 0 until the files
    /// are listed.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.done_bytes.load(Ordering::Relaxed), self.total_bytes.load(Ordering::Relaxed))
    }

    /// Has the check end soon, with `Io` and `Interrupted`.
    pub fn end(&self) {
        self.is_ended.store(true, Ordering::Relaxed);
    }

    fn go_on(&self, path: &Path) -> Result<(), IoError> {
        if self.is_ended.load(Ordering::Relaxed) {
            return Err(IoError::at("go on with", path)(std::io::ErrorKind::Interrupted.into()));
        }
        Ok(())
    }

    fn advance(&self, bytes: u64) {
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// What a check found.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Whether a server had the directory meanwhile.
    pub is_running: bool,
    /// The logs that were looked at, in the order of their names.
    pub logs: Vec<VerifiedLog>,
    /// What is wrong, log by log, each in the order of its offsets.
    pub faults: Vec<Fault>,
}

/// A log as it was found.
#[derive(Clone, Debug)]
pub struct VerifiedLog {
    /// Its name.
    pub name: LogName,
    /// Its id; `None` if no file tells it.
    pub id: Option<LogId>,
    /// The first offset that should be held.
    pub start: Offset,
    /// The offset after the last record that was judged.
    pub end: Offset,
    /// How many stores were read.
    pub segments: usize,
    /// Whole batches.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of the stores.
    pub store_bytes: u64,
}

/// Checks the data directory `folder`, or a copy of one, with `threads` threads: the logs that are
/// named, or all if none is.
///
/// # Errors
///
/// `Io` if the folder or its logs cannot be listed; `NewerFormat` for data of a newer release;
/// `Invalid` if the folder is no data directory, `Absent` if it has no log of a name. Any file that
/// cannot be read is a fault in the answer.
pub fn verify(
    disk: &dyn Disk,
    folder: &Path,
    logs: &[LogName],
    threads: usize,
    progress: &VerifyProgress,
) -> Result<Verified, OpenError> {
    let lock = names::lock(folder);
    let is_running = disk.is_locked(&lock).map_err(IoError::at("look at", &lock))?;
    check(disk, (folder, logs), threads, progress, is_running)
}

/// As [`verify`], by the process that owns the directory and serves nothing from it.
pub(crate) fn verify_owned(
    disk: &dyn Disk,
    folder: &Path,
    logs: &[LogName],
    threads: usize,
    progress: &VerifyProgress,
) -> Result<Verified, OpenError> {
    check(disk, (folder, logs), threads, progress, false)
}

fn check(
    disk: &dyn Disk,
    (folder, logs): (&Path, &[LogName]),
    threads: usize,
    progress: &VerifyProgress,
    is_running: bool,
) -> Result<Verified, OpenError> {
    let disk = ReadOnly(disk);
    let mut faults = beside::folder(&disk, folder)?;
    let names = named(&disk, folder, logs, &mut faults)?;
    let mut sites = Vec::new();
    for name in names {
        let directory = names::logs(folder).join(name.as_str());
        match Site::open(&disk, directory, name, is_running) {
            Ok(site) => sites.push(site),
            // It was deleted a moment ago.
            Err(OpenError::Io(e)) if is_running && is_absent(&e) => {}
            Err(error) => return Err(error),
        }
    }
    let tasks: Vec<Task<'_>> = sites.iter().flat_map(Site::tasks).collect();
    let bytes = tasks.iter().map(|task| task.file_bytes).sum();
    progress.total_bytes.store(bytes, Ordering::Relaxed);
    let walked = parallel::each(threads, &tasks, |task| task.walk(&disk, progress));
    progress.go_on(folder)?;
    let mut walked = walked.into_iter();
    let mut verified = Verified { is_running, logs: Vec::new(), faults };
    for site in &sites {
        let stores: Vec<Walked> = walked.by_ref().take(site.bases.len()).collect();
        if let Some(log) = site.judge(&disk, stores, &mut verified.faults)? {
            verified.logs.push(log);
        }
    }
    Ok(verified)
}

/// The names of the logs that are to be looked at.
fn named(
    disk: &dyn Disk,
    folder: &Path,
    wanted: &[LogName],
    faults: &mut Vec<Fault>,
) -> Result<Vec<LogName>, OpenError> {
    let above = names::logs(folder);
    let listed = list(disk, folder)?;
    let mut present = Vec::new();
    for name in listed {
        match LogName::parse_any(&name) {
            Ok(name) => present.push(name),
            Err(error) => {
                let what = format!("is among the logs and is none: {error}; no server starts");
                faults.push(Fault::of(&above.join(name), Meaning::Damage, what));
            }
        }
    }
    present.sort_unstable();
    if let Some(absent) = wanted.iter().find(|name| !present.contains(name)) {
        return Err(OpenError::Absent { name: absent.as_str().to_owned(), path: above });
    }
    present.retain(|name| wanted.is_empty() || wanted.contains(name));
    Ok(present)
}

/// What the folder of the logs in `folder` holds.
pub(crate) fn list(disk: &dyn Disk, folder: &Path) -> Result<Vec<String>, OpenError> {
    let above = names::logs(folder);
    disk.list(&above).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => OpenError::Invalid {
            path: folder.to_owned(),
            what: "is no data directory: it has no folder `logs`".to_owned(),
        },
        _ => IoError::at("list", &above)(e).into(),
    })
}

fn is_absent(error: &IoError) -> bool {
    error.source.kind() == std::io::ErrorKind::NotFound
}

/// A log that is looked at.
#[derive(Debug)]
struct Site {
    directory: PathBuf,
    name: LogName,
    /// What `meta`, a store or the checkpoint says.
    id: Option<LogId>,
    beside: Beside,
    start: Offset,
    /// The stores at or above the start, in order, with their sizes.
    bases: Vec<(Offset, u64)>,
    /// For each of them where the next one begins whose header is whole.
    bounds: Vec<Option<Offset>>,
    /// Nothing is judged at or above it.
    limit: Option<Offset>,
}

impl Site {
    fn open(
        disk: &dyn Disk,
        directory: PathBuf,
        name: LogName,
        is_running: bool,
    ) -> Result<Self, OpenError> {
        // First, so that all that it vouches for is there when the files are listed.
        let slots = Slots::read(disk, &directory)?;
        let list = disk.list(&directory).map_err(IoError::at("list", &directory))?;
        let mut all: Vec<Offset> = list.iter().filter_map(|file| names::store_base(file)).collect();
        all.sort_unstable();
        let mut beside = Beside::read(disk, (&directory, &name), slots, (&all, &list), is_running)?;
        let checkpoint = beside.checkpoint;
        let lowest = all.first().copied().unwrap_or(Offset::ZERO);
        let start = checkpoint.map_or(lowest, |held| held.start);
        let size = |base: Offset| {
            let store = disk.open(&names::store(&directory, base));
            (base, store.and_then(|file| file.file_bytes()).unwrap_or_default())
        };
        let bases: Vec<_> = all.into_iter().filter(|base| *base >= start).map(size).collect();
        let is_whole = |base| {
            let opened = walk::open(disk, &names::store(&directory, base), beside.id, base);
            if let Err(StoreFault::Io(e)) = &opened
                && !is_absent(e)
            {
                beside.faults.push(Fault::unreadable(e));
            }
            Ok::<_, OpenError>(opened.is_ok())
        };
        let bounds = bounds(bases.iter().map(|(base, _)| *base), is_whole)?;
        let durable = checkpoint.map_or(start, |held| held.mark.durable_end);
        let limit = is_running.then_some(durable);
        Ok(Self { id: beside.id, directory, name, beside, start, bases, bounds, limit })
    }

    fn tasks(&self) -> impl Iterator<Item = Task<'_>> {
        self.bases.iter().zip(&self.bounds).map(|(&(base, file_bytes), &bound)| Task {
            directory: &self.directory,
            log_id: self.id,
            base,
            bound,
            limit: self.limit,
            file_bytes,
        })
    }

    /// What all that was found amounts to; `None` if the log was deleted meanwhile.
    fn judge(
        &self,
        disk: &dyn Disk,
        mut stores: Vec<Walked>,
        faults: &mut Vec<Fault>,
    ) -> Result<Option<VerifiedLog>, OpenError> {
        let mut start = self.start;
        if self.limit.is_some() && stores.iter().any(|store| store.is_absent) {
            // It was trimmed meanwhile, or it is missing.
            let Some(now) = Slots::read(disk, &self.directory)? else {
                return Ok(None);
            };
            start = now.newest.map_or(start, |(_, held)| held.start.max(start));
            stores.retain(|store| store.base >= start);
        }
        let known = self.beside.durable_end.max(start);
        let directory = &self.directory;
        let mut found = self.beside.faults.clone();
        let durable_end = durable_end(&stores, known, self.limit);
        let strays = strays(&mut stores, (start, durable_end), directory);
        found.extend(strays);
        if self.limit.is_none() {
            let bases = stores.iter().map(|store| store.base);
            found.extend(self.beside.other_stores(directory, bases));
        }
        let judged = Judged::of(&stores, (start, durable_end), self.limit);
        found.extend(judged.faults(&stores, directory));
        let batches = stores.iter().map(|store| store.batches).sum();
        let records = stores.iter().map(|store| store.records).sum();
        let store_bytes = stores.iter().map(|store| store.file_bytes).sum();
        found.extend(stores.iter_mut().flat_map(|store| std::mem::take(&mut store.faults)));
        found.sort_by_key(|fault| {
            (fault.offsets.map(|(from, _)| from), fault.position, fault.path.clone())
        });
        // What was looked at twice could not be read twice.
        found.dedup();
        for fault in &mut found {
            fault.log = Some(self.name.clone());
        }
        faults.append(&mut found);
        let (name, id, end) = (self.name.clone(), self.id, judged.end);
        let segments = stores.len();
        Ok(Some(VerifiedLog { name, id, start, end, segments, batches, records, store_bytes }))
    }
}
