//! The ends of a server that must not go on: a failed write or sync, an index whose memory is gone,
//! and a panic.
//!
//! What is left of such a process would acknowledge nothing or limp. It ends, and the next start
//! recovers.

use std::time::Duration;
use std::{io, panic, process, thread};

use signal_hook::consts::SIGBUS;

use super::notify;
use crate::cli::exit;
use crate::cli::output::chain;
use crate::log::FatalError;

/// How long waiting calls get their answers before the process ends.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Ends the process because of a write or sync that failed. Returns at once: whoever calls may
/// hold locks that the last answers need.
pub(super) fn on_fatal(error: &FatalError) {
    log::error!(log:% = error.log, error:% = chain(error); "storage_failed");
    let last_words = thread::Builder::new().name("fatal".to_owned()).spawn(|| {
        notify::status("storage failed, ending");
        thread::sleep(LAST_WORDS);
        leave()
    });
    if last_words.is_err() {
        leave();
    }
}

/// Makes every panic end the process, whichever thread it is on.
pub(super) fn abort_on_panic() {
    panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("unnamed");
        log::error!(thread:% = name, text:% = panic.to_string(); "panic");
        process::abort();
    }));
}

/// Ends the process as a failed write does if the kernel cannot give it the memory of a mapped
/// index: the disk under it is gone, or somebody made the file shorter.
///
/// # Errors
///
/// Those of `sigaction`.
pub(super) fn end_on_bus_error() -> io::Result<()> {
    const TEXT: &[u8] =
        b"varve: SIGBUS: the memory of an index is gone, because its disk failed or \
        its file was made shorter; the process ends, and the next start recovers\n";
    // SAFETY: a write to a descriptor and `_exit` may be called in a signal handler, and the other
    // handlers of the signal find nothing changed.
    #[allow(unsafe_code)]
    let registered = unsafe {
        signal_hook::low_level::register(SIGBUS, || {
            let _unsaid = rustix::io::write(rustix::stdio::stderr(), TEXT);
            leave()
        })
    };
    registered.map(drop)
}

/// Without the handlers that run at an orderly exit: they may wait for threads that cannot end.
fn leave() -> ! {
    signal_hook::low_level::exit(exit::IO.into())
}
