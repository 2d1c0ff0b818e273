//! Signs of life for systemd: while the logs are opened, and as long as the server moves.
//!
//! A process that hangs looks well from outside. So nothing is sent that does not stand for work:
//! a start takes longer only while it gets on, and the watchdog is fed only while each thread that
//! others wait for comes to an end of what it does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::looking::Looking;
use super::notify;
use crate::log::{OpenProgress, Opened};
use crate::server::{Stillness, Vitals};

/// How often the start tells how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// How much longer it may take each time it got on: time to read and rewrite a store of 4 GiB.
const LONGER: Duration = Duration::from_secs(600);

/// Tells systemd how the opening of the logs comes along.
pub(super) fn while_opening(progress: Arc<OpenProgress>) -> io::Result<Looking> {
    let mut last = progress.so_far();
    Looking::start("opening", TELL_EVERY, move || {
        let now = progress.so_far();
        let status = opening(now);
        if now == last {
            notify::status(&status);
        } else {
            notify::starting(&status, LONGER);
        }
        last = now;
    })
}

fn opening(Opened { logs, logs_open, stores_read }: Opened) -> String {
    format!("recovering: {logs_open} of {logs} logs are open, {stores_read} stores were read")
}

/// Feeds the watchdog, if there is one.
pub(super) fn while_serving(vitals: Vitals) -> io::Result<Option<Looking>> {
    let Some(patience) = notify::watchdog() else { return Ok(None) };
    let mut feeding = Feeding { patience, was_still: false };
    // Four signs in the time of one; whoever is still for half of it will not be fed any more.
    let looking = Looking::start("watchdog", patience / 4, move || {
        let Stillness { threads, lasts } = vitals.stillness();
        match feeding.sign(lasts) {
            Sign::Alive => notify::alive(),
            Sign::Hangs => {
                log::error!(threads, seconds = lasts.as_secs(); "hangs");
                notify::status(&format!("hangs: {threads} threads have not moved"));
            }
            Sign::Silence => {}
        }
    });
    looking.map(Some)
}

/// What is told at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// The watchdog is fed.
    Alive,
    /// It is not, and that is told.
    Hangs,
    /// It is not, which was told before.
    Silence,
}

/// Whether the watchdog, which waits for `patience`, is fed at each look.
struct Feeding {
    patience: Duration,
    was_still: bool,
}

impl Feeding {
    /// If what has been at one thing for longest `lasts` so long.
    fn sign(&mut self, lasts: Duration) -> Sign {
        let was_still = self.was_still;
        self.was_still = lasts > self.patience / 2;
        match (self.was_still, was_still) {
            (false, _) => Sign::Alive,
            (true, false) => Sign::Hangs,
            (true, true) => Sign::Silence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_says_how_far_it_is() {
        let opened = Opened { logs: 9, logs_open: 3, stores_read: 17 };
        assert_eq!(opening(opened), "recovering: 3 of 9 logs are open, 17 stores were read");
    }

    #[test]
    fn r16_a_thread_that_is_at_one_thing_for_more_than_half_of_the_time_stops_the_feeding() {
        let mut feeding = Feeding { patience: Duration::from_secs(60), was_still: false };
        let mut signs = |lasts_ms: &[u64]| -> Vec<Sign> {
            lasts_ms.iter().map(|ms| feeding.sign(Duration::from_millis(*ms))).collect()
        };
        assert_eq!(signs(&[0, 15_000, 30_000]), [Sign::Alive; 3]);
        assert_eq!(signs(&[30_001, 45_000, 60_000]), [Sign::Hangs, Sign::Silence, Sign::Silence]);
        // It moves again before systemd has lost its patience, and hangs once more.
        assert_eq!(signs(&[0, 31_000]), [Sign::Alive, Sign::Hangs]);
    }
}
