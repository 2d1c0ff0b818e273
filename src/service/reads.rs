//! The threads that work on files for unary calls, because a poll thread must not wait for a disk:
//! some read records, others do what administrators ask for.
//!
//! Their queue is bounded: a read that finds it full is refused at once.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::Mutex;

use super::refusal::{Limited, OverLimit};
use crate::fail_points::fail_point;
use crate::log::Busy;

/// A read that waits for a thread.
pub(crate) trait Read: Send {
    /// Reads and answers, on a reading thread.
    fn run(self: Box<Self>);
    /// Answers that there was no room, on the thread that brought it.
    fn refuse(self: Box<Self>, over: OverLimit);
}

/// The reading threads and their queue. All calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Reads {
    /// `None` once it is closed.
    queue: Mutex<Option<Sender<Box<dyn Read>>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    busy: Arc<Busy>,
    queued_max: usize,
}

impl Reads {
    /// Starts `threads` threads, called `role` and a number, with a queue of `queued_max` reads.
    pub(crate) fn start(role: &str, threads: usize, queued_max: usize) -> io::Result<Self> {
        fail_point!("reads::start", fails);
        let (queue, queued) = bounded(queued_max);
        let reads = Self {
            queue: Mutex::new(Some(queue)),
            threads: Mutex::default(),
            busy: Arc::new(Busy::new(threads)),
            queued_max,
        };
        for number in 0..threads {
            let (queued, busy) = (queued.clone(), Arc::clone(&reads.busy));
            let thread = thread::Builder::new()
                .name(format!("{role}-{number}"))
                .spawn(move || serve(&queued, &busy, number))?;
            reads.threads.lock().push(thread);
        }
        Ok(reads)
    }

    /// For how long the thread that has been at one read longest has been at it. The queue waits
    /// no longer than they all do.
    pub(crate) fn busy_for(&self) -> Duration {
        self.busy.longest()
    }

    /// Queues `read`, or refuses it if there is no room or nobody to serve it.
    pub(crate) fn submit(&self, read: Box<dyn Read>) {
        let Some(queue) = self.queue.lock().clone() else {
            return read.refuse(OverLimit { limited: Limited::QueuedReads, limit: 0, actual: 1 });
        };
        match queue.try_send(read) {
            Ok(()) => {}
            Err(TrySendError::Full(read) | TrySendError::Disconnected(read)) => {
                let limit = self.queued_max;
                let actual = limit + 1;
                read.refuse(OverLimit { limited: Limited::QueuedReads, limit, actual });
            }
        }
    }

    /// How many wait for a thread.
    pub(crate) fn queued(&self) -> usize {
        self.queue.lock().as_ref().map_or(0, Sender::len)
    }

    /// Serves what is queued and ends the threads. Later calls do nothing.
    pub(crate) fn close(&self) {
        drop(self.queue.lock().take());
        for thread in self.threads.lock().drain(..) {
            // A thread that panicked has ended the process.
            let _ended = thread.join();
        }
    }
}

impl Drop for Reads {
    fn drop(&mut self) {
        self.close();
    }
}

fn serve(queued: &Receiver<Box<dyn Read>>, busy: &Busy, thread: usize) {
    for read in queued {
        fail_point!("reads::read");
        busy.during(thread, || read.run());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Told {
        began: Sender<&'static str>,
        go_on: Receiver<()>,
        answer: Sender<&'static str>,
    }

    impl Read for Told {
        fn run(self: Box<Self>) {
            self.began.send("began").unwrap();
            let _released = self.go_on.recv();
            self.answer.send("read").unwrap();
        }

        fn refuse(self: Box<Self>, over: OverLimit) {
            assert_eq!(over.limited, Limited::QueuedReads);
            self.answer.send("refused").unwrap();
        }
    }

    #[test]
    fn a_full_queue_refuses_at_once_and_a_close_serves_the_rest() {
        let reads = Reads::start("read", 1, 1).unwrap();
        let (began, has_begun) = bounded(8);
        let (release, go_on) = bounded(0);
        let (answer, answers) = bounded(8);
        let read = || {
            Box::new(Told { began: began.clone(), go_on: go_on.clone(), answer: answer.clone() })
        };
        reads.submit(read());
        has_begun.recv().unwrap();
        reads.submit(read());
        reads.submit(read());
        assert_eq!(answers.recv(), Ok("refused"));
        drop(release);
        reads.close();
        assert_eq!((answers.recv(), answers.recv()), (Ok("read"), Ok("read")));
        reads.submit(read());
        assert_eq!(answers.recv(), Ok("refused"));
    }
}
