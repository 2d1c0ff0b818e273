//! Waiting for a future with an end to the patience, and waking one that waits.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use futures_util::task::{ArcWake, waker};

struct Unpark(Thread);

impl ArcWake for Unpark {
    fn wake_by_ref(unpark: &Arc<Self>) {
        unpark.0.unpark();
    }
}

/// Drives `future` on this thread until it is done or `deadline` has passed, when it is dropped and
/// there is no output.
pub(crate) fn wait_until<F: Future>(future: F, deadline: Instant) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = waker(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        let left = deadline.checked_duration_since(Instant::now())?;
        thread::park_timeout(left);
    }
}

/// Wakes whoever waits, if someone does. Not to be called under a lock that a detached future
/// takes: such a one is polled where it is woken.
pub(crate) fn wake(waiting: Option<Waker>) {
    if let Some(waker) = waiting {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_channel::oneshot;

    use super::*;

    #[test]
    fn an_output_that_comes_in_time_is_returned() {
        let (send, receive) = oneshot::channel();
        let sender = thread::spawn(move || send.send(7));
        let deadline = Instant::now() + Duration::from_secs(60);
        assert_eq!(wait_until(receive, deadline), Some(Ok(7)));
        sender.join().unwrap().unwrap();
    }

    #[test]
    fn patience_ends_at_the_deadline() {
        let began = Instant::now();
        let deadline = began + Duration::from_millis(20);
        assert_eq!(wait_until(std::future::pending::<()>(), deadline), None);
        assert!(began.elapsed() >= Duration::from_millis(20));
    }
}
