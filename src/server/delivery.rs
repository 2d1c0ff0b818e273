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
pub(super) struct Delivery {
    logs: Arc<Logs>,
    threads: Arc<PollThreads>,
}

impl Delivery {
    /// By the poll threads of `environment`.
    pub(super) fn start(logs: Arc<Logs>, environment: &Arc<Environment>) -> Self {
        let threads = Arc::new(PollThreads::of(environment));
        let those = Arc::clone(&threads);
        logs.deliver_by(move |woken: Woken| {
            if woken.len() > FEW {
                those.run(move || drop(woken));
            }
        });
        Self { logs, threads }
    }

    pub(super) fn threads(&self) -> &Arc<PollThreads> {
        &self.threads
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.logs.deliver_by(drop);
        self.threads.close();
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}
