//! The end of a server that is told to stop while it recovers its logs.
//!
//! Recovery may take long and reads no signals. Whatever it has done by then the next start does
//! again: it may be killed at any point. So the process leaves where it is.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use super::looking::Looking;
use super::notify;

/// How often it is looked whether a signal came.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Whether SIGTERM or SIGINT came. Others who wait for these signals get them as well.
pub(super) struct Told([(i32, Arc<AtomicBool>); 2]);

impl Told {
    /// Takes note of the signals from now on.
    pub(super) fn watch() -> io::Result<Self> {
        let told = [SIGTERM, SIGINT].map(|signal| (signal, Arc::new(AtomicBool::new(false))));
        for (signal, came) in &told {
            signal_hook::flag::register(*signal, Arc::clone(came))?;
        }
        Ok(Self(told))
    }

    /// Ends the process, with success, if one came or comes while the returned value lives.
    pub(super) fn end_while_opening(self) -> io::Result<Looking> {
        Looking::start("interrupt", LOOK_EVERY, move || {
            if let Some((signal, _)) = self.0.iter().find(|(_, came)| came.load(Ordering::Relaxed))
            {
                leave(*signal);
            }
        })
    }
}

fn leave(signal: i32) -> ! {
    let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
    log::info!(
        signal:% = name,
        text = "the logs are not recovered yet: the next start does it again";
        "stopping"
    );
    notify::stopping();
    log::info!("stopped");
    // Without the handlers that run at an orderly exit: they may wait for the thread that recovers.
    signal_hook::low_level::exit(0)
}
