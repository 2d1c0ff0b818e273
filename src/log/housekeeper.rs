//! One thread that keeps time: syncs that are due, checkpoints, rolls by age, a look at the disk.
//!
//! It only queues work for the flushers, so that nothing it waits for makes a sync late.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::commit_log::Log;
use super::engine::{Engine, Space, Timer};

/// Starts the thread; it ends when `stop` is disconnected. `logs` lists the logs of the moment.
pub(crate) fn start(
    engine: Arc<Engine>,
    data: PathBuf,
    logs: impl Fn() -> Vec<Arc<Log>> + Send + 'static,
    stop: Receiver<()>,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("housekeeper".to_owned()).spawn(move || {
        let mut next_look = Instant::now();
        let mut first_due: Option<Timer> = None;
        loop {
            if first_due.is_none() {
                first_due = engine.timers().try_recv().ok();
            }
            let now = Instant::now();
            if let Some((_, log)) = first_due.take_if(|(due, _)| *due <= now) {
                log.sync_due();
                continue;
            }
            if next_look <= now {
                look_around(&engine, &data, &logs());
                next_look = now + Space::LOOK_EVERY;
            }
            if !wait(&engine, &mut first_due, next_look, &stop) {
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
    crossbeam_channel::select! {
        recv(engine.timers()) -> timer => *first_due = timer.ok(),
        recv(stop) -> _ => return false,
        default(next_look.saturating_duration_since(Instant::now())) => {}
    }
    true
}

fn look_around(engine: &Engine, data: &std::path::Path, logs: &[Arc<Log>]) {
    match engine.disk.free_bytes(data) {
        Ok(free_bytes) => engine.space.observe(free_bytes),
        Err(error) => log::warn!("event=disk_space_unknown path={data:?} error={error:?}"),
    }
    for log in logs {
        log.look_after();
    }
}
