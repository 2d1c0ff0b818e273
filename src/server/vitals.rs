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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::path::Path;
    use std::thread;
    use std::time::Instant;

    use crossbeam_channel::{Receiver, Sender, bounded};

    use super::*;
    use crate::acl::Policy;
    use crate::log::{Durability, LogName, LogOverrides, Options, SimDisk};
    use crate::server::{Server, ServerOptions, Transport};
    use crate::service::Rules;
    use crate::service::reads::Read;
    use crate::service::refusal::OverLimit;
    use crate::tls::Subject;

    /// A read that says when it has begun, and hangs until the sender of its release is dropped.
    struct Hanging {
        begun: Sender<()>,
        released: Receiver<()>,
    }

    impl Read for Hanging {
        fn run(self: Box<Self>) {
            self.begun.send(()).unwrap();
            let _released = self.released.recv();
        }

        fn refuse(self: Box<Self>, over: OverLimit) {
            panic!("{over:?}");
        }
    }

    /// More than the second that the thread which keeps time waits at most.
    const LONG: Duration = Duration::from_millis(1500);

    fn within_half_a_minute(mut condition: impl FnMut(Stillness) -> bool, vitals: &Vitals) {
        let began = Instant::now();
        while !condition(vitals.stillness()) {
            assert!(began.elapsed() < Duration::from_secs(30), "{:?}", vitals.stillness());
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn r16_threads_that_are_at_one_thing_for_long_are_told_until_they_move() {
        let disk = Arc::new(SimDisk::new());
        let storage = Options { min_free_bytes: 0, ..Options::default() };
        let logs = Logs::open(Path::new("/data"), disk, storage).unwrap();
        let transport = Transport::Plaintext { subject: Subject::new("anyone").unwrap() };
        let rules = Rules::new(Arc::new(Policy::parse("", Path::new("acl.csv")).unwrap()));
        let options = ServerOptions::new(([127, 0, 0, 1], 0).into(), transport, rules);
        let server = Server::start(options, Arc::clone(&logs)).unwrap();
        let vitals = server.vitals();

        let ((reading, released), (begun, has_begun)) = (bounded(0), bounded(1));
        vitals.backend.reads.submit(Box::new(Hanging { begun, released }));
        // Who hangs for longest is told, so the others have to come later.
        has_begun.recv().unwrap();
        let (poll, released) = bounded::<()>(0);
        vitals.poll_threads.run(move || {
            let _released = released.recv();
        });
        // From the first look on it is asked for a sign.
        assert!(vitals.stillness().lasts < LONG);
        let (storage, released) = bounded::<()>(0);
        // A flusher that does not come back from telling that something is durable.
        logs.deliver_by(move |_| {
            let _released = released.recv();
        });
        let log = logs.create(&LogName::parse("a").unwrap(), LogOverrides::default()).unwrap();
        let _waits = log.append(b"x", NonZeroU32::MIN, Durability::Synced).unwrap();

        for (threads, hanging) in [("reading", reading), ("poll", poll), ("storage", storage)] {
            within_half_a_minute(|told| told.threads == threads && told.lasts >= LONG, &vitals);
            drop(hanging);
        }
        within_half_a_minute(|told| told.lasts < LONG, &vitals);
        server.shutdown();
        logs.close().unwrap();
    }
}
