//! Who wakes those whose batches are durable: the flusher itself if they are few, which spares a
//! lone caller a change of threads, and else a poll thread.

use std::fmt;
use std::sync::Arc;

use grpcio::Environment;

use crate::log::{Logs, Woken};
use crate::service::errands::PollThreads;

/// So many are woken by the flusher.
const FEW: usize = 2;

/// While it exists, poll threads wake those who wait for `logs`.
pub(super) struct Delivery(Arc<Logs>);

impl Delivery {
    /// By the poll threads of `environment`.
    pub(super) fn start(logs: Arc<Logs>, environment: &Arc<Environment>) -> Self {
        let threads = PollThreads::of(environment);
        logs.deliver_by(move |woken: Woken| {
            if woken.len() > FEW {
                threads.run(move || drop(woken));
            }
        });
        Self(logs)
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.0.deliver_by(drop);
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}
