//! The workers that write, sync and prepare: named threads behind one bounded queue.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::engine::{Engine, Job};

/// Starts `workers` threads called `sync-0` and on.
pub(crate) fn start(engine: &Arc<Engine>, workers: usize) -> io::Result<Vec<JoinHandle<()>>> {
    (0..workers)
        .map(|n| {
            let engine = Arc::clone(engine);
            thread::Builder::new()
                .name(format!("sync-{n}"))
                .spawn(move || while engine.jobs().recv().is_ok_and(run) {})
        })
        .collect()
}

/// Does one job; `false` if it was the last.
pub(crate) fn run(job: Job) -> bool {
    match job {
        Job::Flush(log) => log.flush(),
        Job::Roll(log) => log.roll(),
        Job::Checkpoint(log) => log.run_checkpoint(),
        Job::Prepare(log, capacity_bytes) => log.prepare(capacity_bytes),
        Job::SyncIndex(segment) => segment.sync_index(),
        Job::Stop => return false,
    }
    true
}
