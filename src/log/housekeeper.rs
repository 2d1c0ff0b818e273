//! One thread that keeps time: syncs that are due, checkpoints, rolls by age, retention, a look at
//! the disk and at the clocks.
//!
//! It only queues work for other threads, so that nothing it waits for makes a sync late.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::commit_log::Log;
use super::engine::{Engine, Job, Space, Timer};
use crate::fail_points::fail_point;
use crate::sync::Instant;
use crate::sync::channel::{self, Receiver, RecvTimeoutError};
use crate::sync::thread::{self, JoinHandle};

/// How often the time of ages is kept, at most.
const KEEP_AGE_EVERY: Duration = Duration::from_secs(60);

/// Starts the thread; it ends when `stop` is disconnected. `logs` lists the logs of the moment.
pub(crate) fn start(
    engine: Arc<Engine>,
    data: PathBuf,
    logs: impl Fn() -> Vec<Arc<Log>> + Send + 'static,
    stop: Receiver<()>,
) -> io::Result<JoinHandle<()>> {
    fail_point!("housekeeper::start", fails);
    thread::Builder::new().name("housekeeper".to_owned()).spawn(move || {
        let mut looks = Looks::default();
        let mut next_look = Instant::now();
        let mut first_due: Option<Timer> = None;
        let keeper = engine.options.flushers;
        loop {
            // It is never at one thing for longer than a look and the wait until the next.
            engine.busy.begin(keeper);
            if first_due.is_none() {
                first_due = engine.timers().try_recv().ok();
            }
            let now = Instant::now();
            if let Some((_, log)) = first_due.take_if(|(due, _)| *due <= now) {
                fail_point!("housekeeper::sync_due");
                log.sync_due();
                continue;
            }
            if next_look <= now {
                fail_point!("housekeeper::look_around");
                looks.look_around(&engine, &data, &logs());
                next_look = now + Space::LOOK_EVERY;
            }
            if !wait(&engine, &mut first_due, next_look, &stop) {
                engine.busy.end(keeper);
                return;
            }
        }
    })
}

/// Waits for the next thing to do; `false` if that is to stop. Delays are all alike, so the timer
/// that was set first is due first.
fn wait(
    engine: &Engine,
    first_due: &mut Option<Timer>,
    next_look: Instant,
    stop: &Receiver<()>,
) -> bool {
    if let Some((due, _)) = first_due {
        return stop.recv_deadline(next_look.min(*due)) == Err(RecvTimeoutError::Timeout);
    }
    channel::select! {
        recv(engine.timers()) -> timer => *first_due = timer.ok(),
        recv(stop) -> _ => return false,
        default(next_look.saturating_duration_since(Instant::now())) => {}
    }
    true
}

/// Looks at everything, once a second.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// When the time of ages was last kept, on the clock that never jumps.
    age_kept: Option<Duration>,
}

impl Looks {
    pub(crate) fn look_around(&mut self, engine: &Engine, data: &Path, logs: &[Arc<Log>]) {
        match engine.disk.free_bytes(data) {
            Ok(free_bytes) => engine.space.observe(free_bytes),
            Err(error) => log::warn!(path:% = data.display(), error:err; "disk_space_unknown"),
        }
        engine.look_at_clocks();
        for log in logs {
            log.look_after();
        }
        let now = engine.clock.running();
        let is_fresh = |kept: Duration| now.saturating_sub(kept) < KEEP_AGE_EVERY;
        if !self.age_kept.is_some_and(is_fresh) && counts_ages(logs) {
            self.age_kept = Some(now);
            engine.queue_chore(Job::KeepAge);
        }
    }
}

/// Whether the age of a record matters to any log.
pub(crate) fn counts_ages(logs: &[Arc<Log>]) -> bool {
    logs.iter().any(|log| log.settings().retention_age.is_some())
}
