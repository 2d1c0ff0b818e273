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
    let mut was_still = false;
    // Four signs in the time of one; whoever is still for half of it will not be fed any more.
    let looking = Looking::start("watchdog", patience / 4, move || {
        let Stillness { threads, lasts } = vitals.stillness();
        let is_still = lasts > patience / 2;
        if !is_still {
            notify::alive();
        } else if !was_still {
            log::error!(threads, seconds = lasts.as_secs(); "hangs");
            notify::status(&format!("hangs: {threads} threads have not moved"));
        }
        was_still = is_still;
    });
    looking.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_says_how_far_it_is() {
        let opened = Opened { logs: 9, logs_open: 3, stores_read: 17 };
        assert_eq!(opening(opened), "recovering: 3 of 9 logs are open, 17 stores were read");
    }
}
