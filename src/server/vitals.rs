//! Whether a server's threads still come to their work.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::log::Logs;
use crate::service::backend::Backend;
use crate::service::errands::PollThreads;

/// A look at a running server from outside; it may outlive the server. That its listener accepts is
/// looked after elsewhere: a deaf one ends the server by itself.
pub struct Vitals {
    pub(super) logs: Arc<Logs>,
    pub(super) backend: Arc<Backend>,
    pub(super) poll_threads: Arc<PollThreads>,
}

/// What has not moved for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stillness {
    /// The threads in question, in a word for operators.
    pub threads: &'static str,
    /// For how long one of them has been at one thing.
    pub lasts: Duration,
}

impl Vitals {
    /// What has not moved for longest. Threads without work move. To be called again and again: the
    /// poll threads are asked for a sign each time, and are judged by it the next time.
    #[must_use]
    pub fn stillness(&self) -> Stillness {
        let longest = [
            ("storage", self.logs.busy_for()),
            ("reading", self.backend.reads.busy_for()),
            ("poll", self.poll_threads.away_for()),
        ];
        let longest = longest.into_iter().max_by_key(|(_, lasts)| *lasts);
        let (threads, lasts) = longest.unwrap_or(("no", Duration::ZERO));
        Stillness { threads, lasts }
    }
}

impl fmt::Debug for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vitals").finish_non_exhaustive()
    }
}
