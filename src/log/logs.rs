//! The set of named logs in a data directory, and the threads that serve them.
//!
//! Lock order: `created`, `removing`, then what a log locks.

mod backups;
mod figures;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use thiserror::Error;

pub use self::backups::{MadeBackup, back_up_at_rest};
use super::commit_log::Log;
use super::disk::{Disk, Lock};
use super::engine::{Engine, Job};
use super::error::{CreateError, DeleteError, FatalError, IoError, OpenError, SYNC};
use super::group::Woken;
use super::housekeeper::Looks;
use super::meta::Meta;
use super::names::{self, LogName};
use super::offset::{LogId, Offset};
use super::settings::{LogOverrides, Options};
use super::verify::VerifyProgress;
use super::{age, archive, flusher, housekeeper, lock, parallel, recovery, scrub, trash};
use crate::fail_points::fail_point;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::channel::{self, Sender};
use crate::sync::thread::JoinHandle;
use crate::sync::{Mutex, RwLock};

/// Logs that are opened or closed at once: most of the time they wait for the disk.
const LOGS_AT_ONCE: usize = 16;

/// The log that always exists.
pub const DEFAULT_LOG: &str = "default";

/// All logs of a data directory. All calls may run concurrently.
#[derive(Debug)]
pub struct Logs {
    engine: Arc<Engine>,
    data: PathBuf,
    logs: Arc<RwLock<BTreeMap<String, Arc<Log>>>>,
    /// Held while a log is created or deleted, so that two of one name are not, and while the set
    /// is closed.
    created: Mutex<()>,
    /// Held by those who remove what is in the trash already, shared; the set is closed after them.
    removing: RwLock<()>,
    /// Held while a backup is made.
    backing_up: Mutex<()>,
    /// Checks under way, which end before the set is closed.
    checks: Mutex<Vec<Weak<VerifyProgress>>>,
    looks: Mutex<Looks>,
    running: Mutex<Option<Running>>,
}

/// What ends with the set.
#[derive(Debug)]
struct Running {
    workers: Vec<JoinHandle<()>>,
    housekeeper: Option<JoinHandle<()>>,
    chores: Option<JoinHandle<()>>,
    scrubber: Option<JoinHandle<()>>,
    stop_housekeeper: Sender<()>,
    stop_scrubber: Sender<()>,
    lock: Box<dyn Lock>,
}

/// Why a set of logs did not close in order. Recovery runs at the next start.
#[derive(Debug, Error)]
pub enum CloseError {
    /// A write or sync failed, now or before.
    #[error("a write or sync failed while the logs were open")]
    Failed,
    /// A log's last checkpoint could not be written.
    #[error(transparent)]
    Io(#[from] IoError),
}

impl Logs {
    /// Takes the data directory `data` for this process, recovers every log in it, and starts the
    /// threads. Creates the directory and the log `default` if they are not there.
    ///
    /// # Errors
    ///
    /// `Owned` changes nothing; `NewerFormat` and, if so set, `Damaged` change nothing of their
    /// log.
    pub fn open(
        data: &Path,
        disk: Arc<dyn Disk>,
        options: Options,
    ) -> Result<Arc<Self>, OpenError> {
        make_directory(&*disk, data)?;
        let lock = lock::take(&*disk, data)?;
        backups::refuse_unrestored(&*disk, data)?;
        for directory in [names::logs(data), names::trash(data)] {
            make_directory(&*disk, &directory)?;
        }
        if let Some(archive) = &options.archive {
            if archive::is_in_the_way(archive, data) {
                let what = "cannot be the archive: it belongs to the data directory's own files";
                let (path, what) = (archive.clone(), what.to_owned());
                return Err(OpenError::Invalid { path, what });
            }
            make_directory(&*disk, archive)?;
        }
        let above = names::logs(data);
        // A start that was cut short may have left a log that came out of the trash half way.
        for synced in [&above, &names::trash(data)] {
            disk.sync_directory(synced).map_err(IoError::at(SYNC, synced))?;
        }
        let names = disk.list(&above).map_err(IoError::at("list", &above))?;
        let engine = Arc::new(Engine::new(disk, data, options, names.len()));
        let logs = open_all(&engine, &above, &names)?;
        trash::empty(&*engine.disk, &engine.trash)?;
        backups::remove_unfinished(&*engine.disk, data);
        let newest = logs.values().filter_map(|log| log.last_time()).max();
        engine.begin_age(age::read(&*engine.disk, data)?.or(newest));
        let set = Self {
            engine,
            data: data.to_owned(),
            logs: Arc::new(RwLock::new(logs)),
            created: Mutex::default(),
            removing: RwLock::default(),
            backing_up: Mutex::default(),
            checks: Mutex::default(),
            looks: Mutex::default(),
            running: Mutex::default(),
        };
        set.start(lock)?;
        let default = LogName::parse(DEFAULT_LOG);
        if let (Ok(name), None) = (default, set.get(DEFAULT_LOG))
            && let Err(CreateError::Io(error) | CreateError::Failed(error)) =
                set.create(&name, LogOverrides::default())
        {
            return Err(error.into());
        }
        Ok(Arc::new(set))
    }

    /// Creates an empty log, durably.
    ///
    /// # Errors
    ///
    /// After any of them but `Failed` there is no such log that was not there before.
    pub fn create(&self, name: &LogName, overrides: LogOverrides) -> Result<Arc<Log>, CreateError> {
        overrides.check(self.engine.options.archive.is_some())?;
        let _one = self.created.lock();
        if self.running.lock().is_none() {
            return Err(CreateError::Closed);
        }
        let logs = self.logs.read().len();
        if self.get(name.as_str()).is_some() {
            return Err(CreateError::Exists { name: name.to_string() });
        }
        if logs >= self.engine.options.logs_max {
            return Err(CreateError::TooMany { logs });
        }
        let meta = Meta::new(new_id()?, name.clone(), overrides);
        let directory = self.make_log(&meta)?;
        let log = Arc::new(Log::new(
            &self.engine,
            &directory,
            meta,
            recovery::empty(&self.engine.options),
        ));
        self.logs.write().insert(name.to_string(), Arc::clone(&log));
        Ok(log)
    }

    /// Deletes the log called `name` with all its records, if it ends at `expected_end` and has
    /// the id `id`, where these are given. Durable on return; not to be undone. Blocks on the disk
    /// until what was appended before is synced and the space is free.
    ///
    /// Whoever still has the log is told that it was deleted, and those who wait are woken.
    ///
    /// # Errors
    ///
    /// After any of them but `Failed` the log is as it was.
    pub fn delete(
        &self,
        name: &str,
        expected_end: Option<Offset>,
        id: Option<LogId>,
    ) -> Result<(), DeleteError> {
        // A backup of it may take long, and whoever makes another log is not to wait for that.
        self.deletable(name, id)?.wait_for_drops();
        let one = self.created.lock();
        let log = self.deletable(name, id)?;
        let condemned = self.engine.trash.join(format!("gone-{}", log.id()));
        log.leave(expected_end, &condemned)?;
        self.logs.write().remove(name);
        // Removing many files takes a while, and other logs need not wait for it.
        let _removing = self.removing.read();
        drop(one);
        let may_go_on = || !self.engine.is_closing();
        if let Err(error) = trash::remove_all(&*self.engine.disk, &condemned, &may_go_on) {
            log::warn!(log:% = name, until = "restart", error:err; "log_not_removed");
        }
        Ok(())
    }

    fn deletable(&self, name: &str, id: Option<LogId>) -> Result<Arc<Log>, DeleteError> {
        if self.running.lock().is_none() {
            return Err(DeleteError::Closed);
        }
        let log = self.get(name).ok_or_else(|| DeleteError::NotFound { name: name.to_owned() })?;
        if id.is_some_and(|id| id != log.id()) {
            return Err(DeleteError::Replaced { name: name.to_owned(), id: log.id() });
        }
        if name == DEFAULT_LOG {
            return Err(DeleteError::Protected { name: name.to_owned() });
        }
        Ok(log)
    }

    /// The log called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Log>> {
        self.logs.read().get(name).cloned()
    }

    /// All logs in the order of their names.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Log>> {
        self.logs.read().values().cloned().collect()
    }

    /// From now on a flusher hands those whose appends it has decided to `deliver`, which has them
    /// woken, by dropping what it is given, on this thread or another. It is called without a lock
    /// and must not block.
    pub fn deliver_by(&self, deliver: impl Fn(Woken) + Send + Sync + 'static) {
        self.engine.deliver_by(deliver);
    }

    /// Runs the work that is queued, on this thread; for a set without flushers.
    pub fn work(&self) {
        let engine = &*self.engine;
        while let Ok(job) = engine.jobs().try_recv().or_else(|_| engine.chores().try_recv()) {
            flusher::run(engine, job);
        }
    }

    /// Looks after all logs, as is done every second; for a set without flushers.
    pub fn look_around(&self) {
        self.looks.lock().look_around(&self.engine, &self.data, &self.list());
    }

    /// Reads all sealed segments once and checks them, as the scrubber does, without pauses; for a
    /// set without flushers.
    pub fn scrub(&self) {
        scrub::pass(&self.engine, &self.list(), &|_| true);
    }

    /// Lets what takes long end soon, as before a stop: copies into the archive, retention, the
    /// removal of deleted logs, which are done after the next start, and backups, which are not.
    /// Appends go on until `close`.
    pub fn begin_close(&self) {
        self.engine.begin_close();
        self.end_checks();
    }

    /// Refuses further appends, makes all that was taken durable, ends the threads, leaves
    /// checkpoints, and lets go of the data directory. Later calls do nothing.
    ///
    /// # Errors
    ///
    /// Every step runs even if one failed; the first failure is returned.
    pub fn close(&self) -> Result<(), CloseError> {
        let one = self.created.lock();
        let Some(mut running) = self.running.lock().take() else {
            return Ok(());
        };
        drop(one);
        self.begin_close();
        let logs = self.list();
        for log in &logs {
            log.refuse_appends();
        }
        drop((running.stop_housekeeper, running.stop_scrubber));
        for _ in &running.workers {
            self.engine.queue(Job::Stop);
        }
        self.engine.queue_chore(Job::Stop);
        let others = [running.housekeeper.take(), running.chores.take(), running.scrubber.take()];
        let others = others.into_iter().flatten();
        for thread in running.workers.drain(..).chain(others) {
            // A thread that panicked has ended the process.
            let _ended = thread.join();
        }
        fail_point!("logs::close");
        let closed = parallel::each(at_once(&self.engine.options), &logs, Log::close);
        let outcome = closed.into_iter().fold(Ok(()), Result::and);
        self.engine.forget_queued();
        if housekeeper::counts_ages(&logs) && !self.has_failed() {
            self.engine.keep_age();
        }
        drop(self.removing.write());
        drop(running.lock);
        if self.has_failed() { Err(CloseError::Failed) } else { outcome.map_err(Into::into) }
    }

    fn start(&self, lock: Box<dyn Lock>) -> Result<(), IoError> {
        let failed = |e| IoError::at("start threads for", &self.data)(e);
        let workers = flusher::start(&self.engine, self.engine.options.flushers).map_err(failed)?;
        let (stop_housekeeper, stop) = channel::bounded(0);
        // Without flushers there is nobody to hand work to.
        let (housekeeper, chores) = if workers.is_empty() {
            (None, None)
        } else {
            let logs = Arc::clone(&self.logs);
            let list = move || logs.read().values().cloned().collect();
            let (engine, data) = (Arc::clone(&self.engine), self.data.clone());
            let housekeeper = housekeeper::start(engine, data, list, stop).map_err(failed)?;
            (Some(housekeeper), Some(flusher::start_chores(&self.engine).map_err(failed)?))
        };
        let (stop_scrubber, stop) = channel::bounded(0);
        let rate = self.engine.options.scrub_bytes_per_s;
        let scrubber = if workers.is_empty() || rate == 0 {
            None
        } else {
            let (engine, logs) = (Arc::clone(&self.engine), Arc::clone(&self.logs));
            let list = move || logs.read().values().cloned().collect();
            Some(scrub::start(engine, rate, list, stop).map_err(failed)?)
        };
        let running = Running {
            workers,
            housekeeper,
            chores,
            scrubber,
            stop_housekeeper,
            stop_scrubber,
            lock,
        };
        *self.running.lock() = Some(running);
        Ok(())
    }

    /// Makes a log's directory under another name and renames it when it is whole.
    fn make_log(&self, meta: &Meta) -> Result<PathBuf, CreateError> {
        let disk = &*self.engine.disk;
        let building = self.engine.trash.join(format!("new-{}", meta.id));
        let above = names::logs(&self.data);
        let directory = above.join(meta.name.as_str());
        if self.engine.space.shortage().is_some() {
            let full = IoError::at("create", &directory)(ErrorKind::StorageFull.into());
            return Err(full.into());
        }
        let built = self.build(meta, &building).and_then(|()| {
            disk.rename(&building, &directory).map_err(IoError::at("rename", &building))
        });
        if let Err(error) = built {
            // What is left of it the next start removes.
            let _removed = trash::remove_all(disk, &building, &|| true);
            return Err(error.into());
        }
        fail_point!("logs::created");
        for synced in [&above, &self.engine.trash] {
            if let Err(source) = disk.sync_directory(synced).map_err(IoError::at(SYNC, synced)) {
                let fatal = FatalError { log: meta.name.to_string(), source };
                self.engine.fatal(&fatal);
                return Err(CreateError::Failed(fatal.source));
            }
        }
        Ok(directory)
    }

    fn build(&self, meta: &Meta, building: &Path) -> Result<(), IoError> {
        let disk = &*self.engine.disk;
        disk.create_directory(building).map_err(IoError::at("create", building))?;
        meta.write(disk, building)?;
        disk.sync_directory(building).map_err(IoError::at(SYNC, building))
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        // The outcome matters to those who close by hand; what is lost here recovery finds.
        let _closed = self.close();
    }
}

/// Sees to it that the directory is there, also after a power cut.
fn make_directory(disk: &dyn Disk, path: &Path) -> Result<(), IoError> {
    match disk.create_directory(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => {
            return Err(IoError::at("create", path)(e));
        }
        Ok(()) | Err(_) => {}
    }
    let above = names::above(path);
    disk.sync_directory(above).map_err(IoError::at(SYNC, above))
}

fn open_all(
    engine: &Arc<Engine>,
    above: &Path,
    names: &[String],
) -> Result<BTreeMap<String, Arc<Log>>, OpenError> {
    let failed = AtomicBool::new(false);
    let progress = &engine.options.progress;
    progress.found(names.len());
    let opened = parallel::each(at_once(&engine.options), names, |name| {
        // One that does not open is enough: the others are left as they are.
        (!failed.load(Ordering::Relaxed)).then(|| {
            let opened = open_one(engine, above, name);
            failed.fetch_or(opened.is_err(), Ordering::Relaxed);
            progress.log_opened();
            opened.map(|log| (name.clone(), log))
        })
    });
    opened.into_iter().flatten().collect()
}

fn open_one(engine: &Arc<Engine>, above: &Path, name: &str) -> Result<Arc<Log>, OpenError> {
    let directory = above.join(name);
    let parsed = LogName::parse_any(name).map_err(|e| OpenError::Invalid {
        path: directory.clone(),
        what: format!("is in the directory of the logs and is none: {e}"),
    })?;
    let (meta, found) = recovery::open(engine, &directory, &parsed)?;
    Ok(Arc::new(Log::new(engine, &directory, meta, found)))
}

/// How many logs are opened or closed at once; one where nothing happens but by hand.
fn at_once(options: &Options) -> usize {
    if options.flushers == 0 { 1 } else { LOGS_AT_ONCE }
}

fn new_id() -> Result<LogId, IoError> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| IoError::at("read", Path::new("getrandom"))(e.into()))?;
    Ok(LogId::from_bytes(bytes))
}
