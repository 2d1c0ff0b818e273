//! The thread that asks every open stream again: on new rules at once, else twice a second.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::fail_points::fail_point;
use crate::service::guard::Guard;

const INTERVAL: Duration = Duration::from_millis(500);

/// The reviewing thread; it ends with this value.
#[derive(Debug)]
pub(super) struct Review {
    /// `None` once it is to end.
    nudge: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Review {
    pub(super) fn start(guard: Arc<Guard>) -> io::Result<Self> {
        fail_point!("review::start", fails);
        let (nudge, nudged) = bounded(1);
        let thread = thread::Builder::new()
            .name("review".to_owned())
            .spawn(move || review(&guard, &nudged))?;
        Ok(Self { nudge: Some(nudge), thread: Some(thread) })
    }

    /// Reviews now instead of at the end of the interval.
    pub(super) fn now(&self) {
        if let Some(nudge) = &self.nudge {
            // One nudge that waits already stands for this one too.
            let _queued = nudge.try_send(());
        }
    }
}

impl Drop for Review {
    fn drop(&mut self) {
        drop(self.nudge.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended the process.
            let _ended = thread.join();
        }
    }
}

fn review(guard: &Guard, nudged: &Receiver<()>) {
    loop {
        fail_point!("review::review");
        match nudged.recv_timeout(INTERVAL) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => guard.review(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
