//! What a running server tells of itself: metrics, health, and a page to look at.
//!
//! All of it is read when it is asked for. What is counted on the way of a call or a record is
//! counted where it happens, in plain numbers ([`crate::histogram`], `log::counters`,
//! `service::calls`), and named here alone.
//!
//! Files, lowest first: `families` (Prometheus' text form), `process`, `reloads`, `looks` (logs and
//! readers), `health`, `metrics`, `status` (the same for the page), `http` (the listener).

mod families;
mod health;
pub mod http;
mod looks;
mod metrics;
mod process;
mod reloads;
mod status;

use std::sync::Arc;

use parking_lot::Mutex;

use self::health::{Health, State};
use self::looks::Looks;
pub use self::looks::SeriesMax;
pub use self::reloads::Reloads;
use crate::log::Logs;
use crate::server::Observer;

/// What a server and its logs tell of themselves. All calls may run concurrently.
#[derive(Debug)]
pub struct Ops {
    logs: Arc<Logs>,
    observer: Observer,
    reloads: Reloads,
    series_max: SeriesMax,
    /// Held while logs are looked at, so that many who ask cost one look at a time.
    looking: Mutex<()>,
}

impl Ops {
    /// Tells of `logs` and of the server that `observer` sees, of as many logs and readers as
    /// `series_max` allows.
    #[must_use]
    pub fn new(logs: Arc<Logs>, observer: Observer, series_max: SeriesMax) -> Self {
        Self { logs, observer, reloads: Reloads::default(), series_max, looking: Mutex::default() }
    }

    /// The count of reloads, for whoever makes them.
    #[must_use]
    pub fn reloads(&self) -> &Reloads {
        &self.reloads
    }

    /// All metrics in Prometheus' text form. Blocks on the disk as [`crate::log::Log::observe`]
    /// does, and on other calls of this and `status`.
    #[must_use]
    pub fn metrics(&self) -> String {
        metrics::text(self)
    }

    /// What the status page shows, as JSON; of the log called `chosen` also its segments. Blocks as
    /// `metrics` does.
    #[must_use]
    pub fn status(&self, chosen: Option<&str>) -> String {
        status::json(self, chosen)
    }

    /// Whether the server takes calls, and a text that says why not or what else is wrong.
    #[must_use]
    pub fn health(&self) -> (bool, String) {
        let health = Health::of(&self.logs, &self.observer);
        (health.state != State::Failing, health.text())
    }

    fn looks(&self) -> Looks {
        let _one = self.looking.lock();
        Looks::at(&self.logs, self.series_max)
    }
}
