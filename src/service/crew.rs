//! The threads of open streams: one each, with a small stack, counted so that a stop can wait for
//! them.
//!
//! Their number is bounded by the streams that may be open.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::bounded;
use parking_lot::{Condvar, Mutex};

use crate::fail_points::fail_point;

/// A stream's thread encodes, encrypts and reads files, and recurses nowhere.
const STACK_BYTES: usize = 256 * 1024;

/// The threads that run. All calls may run concurrently.
#[derive(Debug, Default)]
pub(crate) struct Crew {
    running: Mutex<usize>,
    ended: Condvar,
    /// Numbers threads in the order of their start.
    started: AtomicU64,
}

/// Counts a thread while it runs.
struct Shift(Arc<Crew>);

impl Crew {
    /// Runs `work` on `subject` on a thread of its own, called `role` and a number.
    ///
    /// # Errors
    ///
    /// Gives the subject back if the system has no thread for it.
    pub(crate) fn spawn<T: Send + 'static>(
        self: &Arc<Self>,
        role: &str,
        subject: T,
        work: fn(T),
    ) -> Result<(), T> {
        let name = format!("{role}-{}", self.started.fetch_add(1, Ordering::Relaxed));
        let shift = Shift::begin(self);
        // The subject follows once there is a thread: a failed start would drop what it is given.
        let (hand_over, taken) = bounded(1);
        let started = start(name, move || {
            let shift = shift;
            if let Ok(subject) = taken.recv() {
                fail_point!("crew::work");
                work(subject);
            }
            drop(shift);
        });
        match started {
            Ok(_) => hand_over.send(subject).map_err(|unsent| unsent.0),
            Err(_) => Err(subject),
        }
    }

    /// Waits until no thread runs or `deadline` has passed, and returns how many still run.
    pub(crate) fn wait_until(&self, deadline: Instant) -> usize {
        let mut running = self.running.lock();
        while *running > 0 {
            if self.ended.wait_until(&mut running, deadline).timed_out() {
                break;
            }
        }
        *running
    }
}

/// Starts a thread of that name.
fn start(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    fail_point!("crew::start", fails);
    thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(work)
}

impl Shift {
    fn begin(crew: &Arc<Crew>) -> Self {
        *crew.running.lock() += 1;
        Self(Arc::clone(crew))
    }
}

impl Drop for Shift {
    fn drop(&mut self) {
        *self.0.running.lock() -= 1;
        self.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossbeam_channel::{Receiver, Sender};

    use super::*;

    #[test]
    fn a_stop_waits_for_the_threads_but_not_for_ever() {
        let crew = Arc::new(Crew::default());
        let (end, ended): (Sender<()>, Receiver<()>) = bounded(0);
        crew.spawn("work", ended, |ended| {
            let _ended = ended.recv();
        })
        .unwrap();
        assert_eq!(crew.wait_until(Instant::now() + Duration::from_millis(5)), 1);
        drop(end);
        assert_eq!(crew.wait_until(Instant::now() + Duration::from_secs(60)), 0);
    }

    #[test]
    fn a_thread_has_its_role_in_its_name() {
        let crew = Arc::new(Crew::default());
        let (tell, told) = bounded(2);
        for _ in 0..2 {
            let tell = tell.clone();
            crew.spawn("consume", tell, |tell: Sender<Option<String>>| {
                tell.send(thread::current().name().map(str::to_owned)).unwrap();
            })
            .unwrap();
        }
        let mut names = [told.recv().unwrap().unwrap(), told.recv().unwrap().unwrap()];
        names.sort();
        assert_eq!(names, ["consume-0", "consume-1"]);
    }
}
