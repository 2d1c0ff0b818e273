//! The thread that finds out when the listener accepts nothing any more.
//!
//! After some errors of `accept4`, such as that the host is out of files, the core forgets its
//! listener for good: connections that exist go on, new ones wait in the backlog for ever. From
//! inside nothing tells of it but that backlog.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::backlog::Backlog;
use crate::fail_points::fail_point;

const INTERVAL: Duration = Duration::from_millis(500);
/// So many looks in a row at a backlog from which nobody takes: five seconds.
const LOOKS_MAX: u32 = 10;

/// How many connections were accepted; shared with whoever accepts them.
#[derive(Clone, Debug, Default)]
pub(super) struct Accepted(Arc<AtomicU64>);

impl Accepted {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The thread; it ends with this value.
#[derive(Debug)]
pub(super) struct Hearing {
    /// `None` once it is to end.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Hearing {
    /// Calls `when_deaf` once if `backlog` is not worked on any more. Every connection that is
    /// accepted is counted in `accepted`, if whoever accepts can.
    pub(super) fn watch(
        backlog: Backlog,
        accepted: Accepted,
        when_deaf: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        fail_point!("hearing::watch", fails);
        let (stop, stopped) = bounded(0);
        let thread = thread::Builder::new().name("hearing".to_owned()).spawn(move || {
            if is_deaf_before(&stopped, || look(&backlog, &accepted)) {
                when_deaf();
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended the process.
            let _ended = thread.join();
        }
    }
}

/// What one look saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    waiting: u32,
    accepted: u64,
}

/// `None` if nothing can be seen. So it is when this process or the host is out of files: then
/// nobody can accept, and the core tries again by itself every second.
fn look(backlog: &Backlog, accepted: &Accepted) -> Option<Seen> {
    let waiting = backlog.waiting().ok()?;
    Some(Seen { waiting, accepted: accepted.get() })
}

/// Looks until the listener is deaf (`true`) or until there is nobody any more to tell.
fn is_deaf_before(stopped: &Receiver<()>, mut look: impl FnMut() -> Option<Seen>) -> bool {
    let mut stuck = Stuck::default();
    while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        if stuck.is_deaf_after(look()) {
            return true;
        }
    }
    false
}

/// For how long nobody has taken from the backlog. Counted in looks, because a process that was
/// stopped for a while has not been deaf.
#[derive(Debug, Default)]
struct Stuck {
    last: Option<Seen>,
    looks: u32,
}

impl Stuck {
    fn is_deaf_after(&mut self, seen: Option<Seen>) -> bool {
        let is_stuck = match (self.last, seen) {
            (Some(last), Some(seen)) => {
                last.waiting > 0 && seen.waiting >= last.waiting && seen.accepted == last.accepted
            }
            _ => false,
        };
        self.last = seen;
        self.looks = if is_stuck { self.looks + 1 } else { 0 };
        self.looks == LOOKS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(waiting: u32, accepted: u64) -> Option<Seen> {
        Some(Seen { waiting, accepted })
    }

    /// After how many of `looks` the listener counts as deaf.
    fn deaf_after(looks: impl IntoIterator<Item = Option<Seen>>) -> Option<usize> {
        let mut stuck = Stuck::default();
        looks.into_iter().position(|seen| stuck.is_deaf_after(seen))
    }

    #[test]
    fn r16_a_backlog_from_which_nobody_takes_is_a_deaf_listener() {
        assert_eq!(deaf_after(vec![seen(1, 7); 100]), Some(10));
        assert_eq!(deaf_after((1..100).map(|waiting| seen(waiting, 7))), Some(10));
        let healthy_first = [seen(0, 5), seen(3, 5), seen(0, 8)].into_iter();
        assert_eq!(deaf_after(healthy_first.chain(vec![seen(1, 8); 20])), Some(13));
    }

    #[test]
    fn r16_a_listener_that_is_only_busy_is_not_deaf() {
        assert_eq!(deaf_after(vec![seen(0, 7); 100]), None);
        // Full for as long as it lasts, and accepting all the while.
        assert_eq!(deaf_after((0..100).map(|accepted| seen(128, accepted))), None);
        // One that counts nothing still takes from its backlog.
        assert_eq!(deaf_after((0..100).map(|look| seen(9 - look % 9, 0))), None);
    }

    #[test]
    fn r16_a_host_out_of_files_is_not_a_deaf_listener() {
        let looks = (0..100).map(|look| if look % 5 == 4 { None } else { seen(1, 7) });
        assert_eq!(deaf_after(looks), None);
    }
}
