//! A data directory on the simulated disk, its users, and what must hold whatever they did.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shuttle::rand::{Rng as _, thread_rng};
use varve::log::{
    AckError, Append, AppendError, Bounds, CloseError, DEFAULT_LOG, Disk as _, Durability,
    FatalError, Log, LogName, LogOverrides, LogSettings, Logs, Offset, Op, Options, Producer,
    ReadError, SimDisk, SimTime, Tear,
};

use crate::waiting::{Waited, Waiter, wait};

const DATA: &str = "/data";
const ONE: NonZeroU32 = NonZeroU32::MIN;

/// Batches of one record, two to a segment: every third append rolls.
pub fn tiny_segments() -> LogSettings {
    LogSettings { segment_bytes_max: 4096, index_bytes_max: 24, ..LogSettings::default() }
}

/// Segments that these models do not fill.
pub fn roomy_segments() -> LogSettings {
    LogSettings { segment_bytes_max: 4096, ..LogSettings::default() }
}

/// What a producer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// At this offset.
    Acknowledged(Offset),
    Unknown(AckError),
    Refused(Refused),
}

/// Why an append was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Closed,
    Deleted,
    Failed,
    NoSpace,
}

/// The batches of one log: those that anyone tried to append, that are not in it for lack of space,
/// and that were acknowledged as synced.
#[derive(Debug, Default)]
struct History {
    tried: BTreeSet<String>,
    without_space: BTreeSet<String>,
    acknowledged: Vec<(Offset, String)>,
}

/// The set of logs with `default` in it, and what its users were told. Clones share it.
#[derive(Clone, Debug)]
pub struct World {
    pub disk: SimDisk,
    pub logs: Arc<Logs>,
    pub log: Arc<Log>,
    history: Arc<Mutex<History>>,
    waiters: Arc<Mutex<Vec<Arc<Waiter>>>>,
    failure: Arc<Mutex<Option<Failure>>>,
}

/// The first failure, as the server was told of it: how many calls the disk had done by then.
#[derive(Clone, Debug)]
struct Failure {
    path: PathBuf,
    calls: usize,
}

impl World {
    /// With one flusher or two.
    pub fn new(defaults: LogSettings) -> Self {
        let flushers = thread_rng().gen_range(1..=2);
        let failure: Arc<Mutex<Option<Failure>>> = Arc::default();
        let disk = SimDisk::new();
        let on_fatal = {
            let (failure, disk) = (Arc::clone(&failure), disk.clone());
            move |error: &FatalError| {
                let calls = disk.trace().len();
                let failed = Failure { path: error.source.path.clone(), calls };
                assert!(failure.lock().unwrap().replace(failed).is_none(), "told of it twice");
            }
        };
        let options = Options { on_fatal: Arc::new(on_fatal), ..options(flushers, defaults) };
        let logs = Logs::open(Path::new(DATA), Arc::new(disk.clone()), options).unwrap();
        let log = logs.get(DEFAULT_LOG).unwrap();
        let (history, waiters) = (Arc::default(), Arc::default());
        Self { disk, logs, log, history, waiters, failure }
    }

    /// The same world as users of another log see it, which is created.
    pub fn with_log(&self, name: &str) -> Self {
        let name = LogName::parse(name).unwrap();
        let log = self.logs.create(&name, LogOverrides::default()).unwrap();
        Self { log, history: Arc::default(), ..self.clone() }
    }

    /// Waits, and expects to be woken no more often than that takes.
    pub fn wait<T: Future + Unpin>(&self, future: T) -> Waited<T::Output> {
        let waited = wait(&self.disk, future);
        self.waiters.lock().unwrap().push(Arc::clone(&waited.waiter));
        waited
    }

    /// Appends a batch and waits for its fate. If it is acknowledged as synced, it was synced when
    /// its producer was woken.
    pub fn append(&self, text: &str, durability: Durability) -> Told {
        self.append_as(text, durability, None)
    }

    /// As `append`, for a producer that may send the batch again.
    pub fn append_as(&self, text: &str, level: Durability, producer: Option<Producer>) -> Told {
        self.history.lock().unwrap().tried.insert(text.to_owned());
        let payload = text.as_bytes();
        let (records, durability, expected) = (ONE, level, None);
        let batch = Append { payload, records, durability, expected, producer };
        let pending = loop {
            match self.log.append_batch(batch) {
                Ok(pending) => break pending,
                Err(AppendError::Closed) => return Told::Refused(Refused::Closed),
                Err(AppendError::Deleted) => return Told::Refused(Refused::Deleted),
                Err(AppendError::Failed) => return Told::Refused(Refused::Failed),
                Err(AppendError::NoSpace { .. }) => return Told::Refused(Refused::NoSpace),
                // It is about to be deleted, or not.
                Err(AppendError::Busy { .. }) => shuttle::thread::yield_now(),
                Err(other) => panic!("{other:?}"),
            }
        };
        let base = pending.base_offset();
        let Waited { outcome, cut, .. } = self.wait(pending);
        match outcome {
            Ok(reached) => {
                assert!(reached >= level, "{reached:?} is less than {level:?}");
                if reached == Durability::Synced {
                    // Whoever waits for less is woken earlier, and may find that it is synced.
                    let now = || self.disk.after_power_cut(Tear::LoseAll);
                    let cut = if level == Durability::Synced { cut } else { now() };
                    self.assert_durable_in(&cut, base, text);
                    self.history.lock().unwrap().acknowledged.push((base, text.to_owned()));
                }
                Told::Acknowledged(base)
            }
            Err(error) => {
                if error == AckError::NoSpace {
                    self.history.lock().unwrap().without_space.insert(text.to_owned());
                }
                Told::Unknown(error)
            }
        }
    }

    /// Reads the batch at `offset` and what follows. All that is read must be durable by now.
    pub fn read(&self, offset: Offset) -> Result<String, ReadError> {
        let chunk = self.log.read(offset, 1 << 16)?;
        let cut = self.disk.after_power_cut(Tear::LoseAll);
        assert!(self.log.bounds().end >= chunk.next_offset(), "the end is below what was read");
        let mut texts = Vec::new();
        for (at, batch) in (offset.get()..).zip(chunk.batches()) {
            let text = String::from_utf8(batch.payload.to_vec()).unwrap();
            assert_eq!(batch.base_offset.get(), at);
            self.assert_durable_in(&cut, batch.base_offset, &text);
            assert!(self.history.lock().unwrap().tried.contains(&text), "{text:?} from nowhere");
            texts.push(text);
        }
        Ok(texts.remove(0))
    }

    /// The batch at `offset` is on the disk as a power cut left it, unless it was removed.
    fn assert_durable_in(&self, cut: &SimDisk, offset: Offset, text: &str) {
        let directory = Path::new(DATA).join("logs").join(self.log.name());
        let holds = |disk: &SimDisk, name: &String| {
            disk.bytes(&directory.join(name)).is_ok_and(|bytes| contains(&bytes, text.as_bytes()))
        };
        let names = cut.list(&directory).unwrap_or_default();
        let is_durable = names.iter().any(|name| holds(cut, name));
        assert!(is_durable || self.was_removed(offset), "{text:?} is told of and not synced");
    }

    /// Whether the log was deleted, or trimmed beyond `offset`.
    fn was_removed(&self, offset: Offset) -> bool {
        offset < self.log.bounds().start
            || matches!(self.log.read(offset, 1), Err(ReadError::Deleted))
    }

    /// Closes the logs, and checks all that holds then.
    pub fn close(&self) {
        let closed = self.logs.close();
        match &*self.failure.lock().unwrap() {
            None => closed.unwrap(),
            Some(_) => assert!(matches!(closed, Err(CloseError::Failed)), "{closed:?}"),
        }
        self.assert_all_told();
        self.assert_nothing_written_after_a_failure();
    }

    /// Everybody who waited was woken, and once.
    fn assert_all_told(&self) {
        let waiters = std::mem::take(&mut *self.waiters.lock().unwrap());
        waiters.iter().for_each(|waiter| waiter.assert_told_once());
    }

    /// A file whose sync failed is left alone.
    fn assert_nothing_written_after_a_failure(&self) {
        let failure = self.failure.lock().unwrap().clone();
        if let Some(Failure { path, calls }) = failure {
            let trace = self.disk.trace();
            let later = trace[calls..].iter().find(|(op, at)| {
                *at == path && matches!(op, Op::Write | Op::Sync | Op::SetLen | Op::Allocate)
            });
            assert_eq!(later, None, "after it had failed");
        }
    }

    pub fn has_failed(&self) -> bool {
        self.failure.lock().unwrap().is_some()
    }

    /// The power goes now. The next start finds all that was acknowledged, at its offset, and
    /// nothing that nobody appended, or that was told to lack space; what it finds is returned.
    pub fn assert_kept(&self) -> Vec<String> {
        let (_logs, log) = self.after_power_cut();
        let found = read_all(&log);
        let start = log.bounds().start;
        let history = self.history.lock().unwrap();
        for (offset, text) in history.acknowledged.iter().filter(|(offset, _)| *offset >= start) {
            let at = usize::try_from(offset.get() - start.get()).unwrap();
            assert_eq!(found.get(at), Some(text), "acknowledged at {offset:?}");
        }
        let distinct: BTreeSet<&String> = found.iter().collect();
        assert_eq!(distinct.len(), found.len(), "a batch is there twice: {found:?}");
        assert!(distinct.iter().all(|text| history.tried.contains(*text)), "{found:?}");
        let refused = distinct.iter().find(|text| history.without_space.contains(**text));
        assert_eq!(refused, None, "refused for lack of space");
        found
    }

    /// The log as the next start finds it if the power goes now.
    pub fn after_power_cut(&self) -> (Arc<Logs>, Arc<Log>) {
        let disk = Arc::new(self.disk.after_power_cut(Tear::LoseAll));
        let logs = Logs::open(Path::new(DATA), disk, options(0, roomy_segments())).unwrap();
        let log = logs.get(self.log.name()).unwrap();
        (logs, log)
    }
}

fn options(flushers: usize, defaults: LogSettings) -> Options {
    let time = Arc::new(SimTime::at(Duration::from_secs(1_000_000_000)));
    Options {
        flushers,
        min_free_bytes: 0,
        logs_max: 4,
        // It would only add steps.
        scrub_bytes_per_s: 0,
        defaults,
        time,
        ..Options::default()
    }
}

fn read_all(log: &Log) -> Vec<String> {
    let Bounds { mut start, end } = log.bounds();
    let mut found = Vec::new();
    while start < end {
        let chunk = log.read(start, 1 << 20).unwrap();
        for batch in chunk.batches() {
            found.push(String::from_utf8(batch.payload.to_vec()).unwrap());
        }
        start = chunk.next_offset();
    }
    found
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
