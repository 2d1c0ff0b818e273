//! What all logs of a data directory share: the disk, the open files, the clock, the queue of the
//! flushers, and how full the disk is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::active::NextSegment;
use super::age::{self, AgeClock};
use super::busy::Busy;
use super::clock::Clock;
use super::commit_log::Log;
use super::counters::Counters;
use super::disk::Disk;
use super::error::FatalError;
use super::files::FileCache;
use super::group::Woken;
use super::latency::Latencies;
use super::names;
use super::scrub;
use super::segment::Segment;
use super::settings::Options;
use crate::line_limit::LineLimit;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::channel::{self, Receiver, Sender};
use crate::sync::{ArcSwapOption, Instant, Mutex};

/// Work for the flushers, and for the thread that does chores.
#[derive(Debug)]
pub(crate) enum Job {
    /// Write out what was appended, and sync if someone waits for it.
    Flush(Arc<Log>),
    /// Seal the active segment, because of its age.
    Roll(Arc<Log>),
    /// Make the checkpoint and the active index durable.
    Checkpoint(Arc<Log>),
    /// Create and allocate the next segment's files.
    Prepare(Arc<Log>, NextSegment),
    /// Fill them with zeros. A chore.
    Fill(Arc<Log>),
    /// Make a sealed segment's index durable.
    SyncIndex(Arc<Segment>),
    /// Drop the segments that are overdue. A chore.
    Retain(Arc<Log>),
    /// Keep what the time of ages has come to. A chore.
    KeepAge,
    /// End the worker.
    Stop,
}

/// Wakes those whose fate a flusher has decided, in its own way.
struct Deliver(Box<dyn Fn(Woken) + Send + Sync>);

impl fmt::Debug for Deliver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliver").finish_non_exhaustive()
    }
}

/// A log whose sync is due at a time.
pub(crate) type Timer = (Instant, Arc<Log>);

/// Shared by all logs; all calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) cache: Arc<FileCache>,
    pub(crate) clock: Clock,
    pub(crate) options: Options,
    pub(crate) trash: PathBuf,
    pub(crate) space: Space,
    pub(crate) sync_latency: Latencies,
    slow_syncs: LineLimit,
    /// The flushers by their numbers, and behind them the thread that keeps time.
    pub(crate) busy: Busy,
    pub(crate) counters: Counters,
    pub(crate) scrubbed: scrub::Counters,
    data: PathBuf,
    age: Mutex<AgeClock>,
    /// What it came to at the last look.
    age_us: AtomicU64,
    jobs: (Sender<Job>, Receiver<Job>),
    /// What may take long and nobody waits for, for a thread of its own.
    chores: (Sender<Job>, Receiver<Job>),
    timers: (Sender<Timer>, Receiver<Timer>),
    deliver: ArcSwapOption<Deliver>,
    failed: AtomicBool,
    is_closing: AtomicBool,
}

impl Engine {
    /// For the data directory `data` in which `logs` logs were found.
    pub(crate) fn new(disk: Arc<dyn Disk>, data: &Path, options: Options, logs: usize) -> Self {
        let logs = options.logs_max.max(logs).saturating_add(options.leaving_logs_max);
        // A log stands in the queue at most once each to be flushed, rolled and checkpointed; other
        // jobs take no place in its second half. So these never find it full.
        let jobs = logs.saturating_mul(6).saturating_add(64);
        let clock = Clock::start(Arc::clone(&options.time));
        Self {
            disk,
            cache: Arc::new(FileCache::new(options.open_segments_max, options.busy_segments_max)),
            age: Mutex::new(AgeClock::start(None, clock.wall(), clock.running())),
            age_us: AtomicU64::new(0),
            clock,
            trash: names::trash(data),
            data: data.to_owned(),
            sync_latency: Latencies::new(),
            slow_syncs: LineLimit::default(),
            busy: Busy::new(options.flushers.saturating_add(1)),
            counters: Counters::new(),
            scrubbed: scrub::Counters::default(),
            space: Space::new(options.min_free_bytes),
            jobs: channel::bounded(jobs),
            // A log stands there at most once each to be trimmed and to be filled.
            chores: channel::bounded(logs.saturating_mul(2).saturating_add(2)),
            timers: channel::bounded(logs),
            options,
            deliver: ArcSwapOption::empty(),
            failed: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
        }
    }

    /// Queues a job; `false` if the queue is full.
    pub(crate) fn queue(&self, job: Job) -> bool {
        self.jobs.0.try_send(job).is_ok()
    }

    /// Queues a job that may as well not be done, unless much is queued already.
    pub(crate) fn queue_if_calm(&self, job: Job) {
        let (sender, queued) = &self.jobs;
        if queued.len() < sender.capacity().unwrap_or(0) / 2 {
            self.queue(job);
        }
    }

    /// Queues a chore; `false` if there are too many.
    pub(crate) fn queue_chore(&self, job: Job) -> bool {
        self.chores.0.try_send(job).is_ok()
    }

    /// Forgets what is queued, and so lets go of the logs that it names.
    pub(crate) fn forget_queued(&self) {
        while self.jobs.1.try_recv().is_ok() || self.timers.1.try_recv().is_ok() {}
        while self.chores.1.try_recv().is_ok() {}
    }

    /// How many jobs and chores wait.
    pub(crate) fn queued(&self) -> (usize, usize) {
        (self.jobs.1.len(), self.chores.1.len())
    }

    pub(crate) fn chores(&self) -> &Receiver<Job> {
        &self.chores.1
    }

    pub(crate) fn jobs(&self) -> &Receiver<Job> {
        &self.jobs.1
    }

    /// From now on `deliver` wakes those whose fate a flusher has decided.
    pub(crate) fn deliver_by(&self, deliver: impl Fn(Woken) + Send + Sync + 'static) {
        self.deliver.store(Some(Arc::new(Deliver(Box::new(deliver)))));
    }

    /// Wakes those whose fate a flusher has decided. Not to be called under a lock.
    pub(crate) fn deliver(&self, woken: Woken) {
        if let Some(deliver) = &*self.deliver.load() {
            (deliver.0)(woken);
        }
    }

    /// Has the log synced within the longest delay.
    pub(crate) fn sync_later(&self, log: &Arc<Log>) {
        // Half the delay is left to the queue, the write and the sync.
        let due = Instant::now() + self.options.sync_delay_max / 2;
        if self.timers.0.try_send((due, Arc::clone(log))).is_err() {
            // Each log has at most one timer, but many deleted ones may still have theirs.
            log.sync_due();
        }
    }

    pub(crate) fn timers(&self) -> &Receiver<Timer> {
        &self.timers.1
    }

    /// Counts ages from `known` on, if the wall clock is not behind that.
    pub(crate) fn begin_age(&self, known: Option<Duration>) {
        let age = AgeClock::start(known, self.clock.wall(), self.clock.running());
        self.age_us.store(age.at_us(), Ordering::Release);
        *self.age.lock() = age;
    }

    /// Takes a look at the clocks.
    pub(crate) fn look_at_clocks(&self) {
        let mut age = self.age.lock();
        age.look(self.clock.wall(), self.clock.running());
        self.age_us.store(age.at_us(), Ordering::Release);
    }

    /// The time that ages are counted to.
    pub(crate) fn age_us(&self) -> u64 {
        self.age_us.load(Ordering::Acquire)
    }

    /// The time that is given to what happens now, in microseconds since the Unix epoch: that of
    /// the clock, which was behind if ages are counted to a later one. So a record has no age when
    /// it is appended.
    pub(crate) fn now_us(&self) -> u64 {
        self.clock.now_us().max(self.age_us())
    }

    /// Keeps what the time of ages has come to, for the next start. If that fails it is tried again
    /// in a while.
    pub(crate) fn keep_age(&self) {
        let kept_us = self.age.lock().kept_us();
        if let Err(error) = age::write(&*self.disk, &self.data, kept_us) {
            log::warn!(error:err; "clock_not_kept");
        }
    }

    /// A sync of the store of `log` made `batches` durable.
    pub(crate) fn synced(&self, log: &str, batches: u64, took: Duration) {
        self.sync_latency.note(took);
        self.counters.synced(batches, took);
        if self.options.slow_sync.is_some_and(|slow| took > slow)
            && let Some(untold) = self.slow_syncs.line()
        {
            log::warn!(log, took_ms = took.as_millis(), batches, untold; "slow_sync");
        }
    }

    /// Reports a failed write or sync; only the first one is handed on.
    pub(crate) fn fatal(&self, error: &FatalError) {
        if !self.failed.swap(true, Ordering::AcqRel) {
            (self.options.on_fatal)(error);
        }
    }

    /// From now on what takes long stops halfway where it can.
    pub(crate) fn begin_close(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

/// How full the disk is, as last looked at.
#[derive(Debug)]
pub(crate) struct Space {
    reserve_bytes: u64,
    free_bytes: AtomicU64,
    low: AtomicBool,
}

impl Space {
    fn new(reserve_bytes: u64) -> Self {
        let free_bytes = AtomicU64::new(u64::MAX);
        Self { reserve_bytes, free_bytes, low: AtomicBool::new(false) }
    }

    /// How often the disk is looked at.
    pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

    /// Free and reserved bytes, if appends are to be refused.
    pub(crate) fn shortage(&self) -> Option<(u64, u64)> {
        self.low
            .load(Ordering::Relaxed)
            .then(|| (self.free_bytes.load(Ordering::Relaxed), self.reserve_bytes))
    }

    /// The capacity that a segment may have: half of what was free beyond the reserve when the disk
    /// was last looked at. What a segment may never need is not to bring on a shortage.
    pub(crate) fn capacity_bytes_max(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed).saturating_sub(self.reserve_bytes) / 2
    }

    /// Takes a fresh look; it may end a shortage.
    pub(crate) fn observe(&self, free_bytes: u64) {
        let low = free_bytes < self.reserve_bytes;
        self.free_bytes.store(free_bytes, Ordering::Relaxed);
        if self.low.swap(low, Ordering::Relaxed) != low {
            let reserve = self.reserve_bytes;
            log::warn!(low, free_bytes, reserve_bytes = reserve; "disk_space");
        }
    }

    /// The disk refused to give space: appends wait for the next look.
    pub(crate) fn ran_out(&self) {
        self.low.store(true, Ordering::Relaxed);
    }
}
