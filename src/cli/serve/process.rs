//! What the process is set to before it touches data: its memory, its signals, its file modes, its
//! last resort.

use std::io;

use rustix::fs::Mode;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use super::interrupted::Told;
use super::{allocator, fatal};
use crate::cli::error::CliError;

/// Sets up the process, and collects its signals from now on.
pub(super) fn prepare() -> Result<(Signals, Told), CliError> {
    allocator::bound_heaps();
    fatal::abort_on_panic();
    // Files and folders are for this user alone, whatever the caller's mask says.
    rustix::process::umask(Mode::from_raw_mode(0o077));
    signals().map_err(CliError::Signals)
}

fn signals() -> io::Result<(Signals, Told)> {
    // With a handler, a file at its size limit is an error that the storage handles, and no end.
    signal_hook::flag::register(SIGXFSZ, std::sync::Arc::default())?;
    fatal::end_on_bus_error()?;
    // First, so that it misses none that the others get.
    let told = Told::watch()?;
    Ok((Signals::new([SIGTERM, SIGINT, SIGHUP])?, told))
}
