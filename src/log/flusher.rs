//! The workers that write, sync and prepare: named threads behind one bounded queue. Beside them
//! one thread with a queue of its own does the chores, which may take long.

use std::io;
use std::sync::Arc;

use super::engine::{Engine, Job};
use crate::fail_points::fail_point;
use crate::sync::thread::{self, JoinHandle};

/// Starts `workers` threads called `sync-0` and on.
pub(crate) fn start(engine: &Arc<Engine>, workers: usize) -> io::Result<Vec<JoinHandle<()>>> {
    fail_point!("flusher::start", fails);
    (0..workers)
        .map(|n| {
            let engine = Arc::clone(engine);
            thread::Builder::new().name(format!("sync-{n}")).spawn(move || {
                let work = |job| engine.busy.during(n, || run(&engine, job));
                while engine.jobs().recv().is_ok_and(work) {}
            })
        })
        .collect()
}

/// Starts the thread `chores`.
pub(crate) fn start_chores(engine: &Arc<Engine>) -> io::Result<JoinHandle<()>> {
    fail_point!("flusher::start_chores", fails);
    let own = Arc::clone(engine);
    thread::Builder::new()
        .name("chores".to_owned())
        .spawn(move || while own.chores().recv().is_ok_and(|job| run(&own, job)) {})
}

/// Does one job; `false` if it was the last.
pub(crate) fn run(engine: &Engine, job: Job) -> bool {
    fail_point!("flusher::work");
    match job {
        Job::Flush(log) => log.flush(),
        Job::Roll(log) => log.roll(),
        Job::Checkpoint(log) => log.run_checkpoint(),
        Job::Prepare(log, next) => log.prepare(next),
        Job::Fill(log) => log.fill(),
        Job::SyncIndex(segment) => segment.sync_index(),
        Job::Retain(log) => log.retain(),
        Job::KeepAge => engine.keep_age(),
        Job::Stop => return false,
    }
    true
}
