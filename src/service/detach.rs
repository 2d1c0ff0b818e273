//! Runs a future to its end without a thread of its own.
//!
//! It is polled on the caller's thread first and then on whichever thread wakes it: the poll thread
//! when an operation of the C core is done, a flusher when a batch is durable, a stream's thread
//! that fills its outbox or empties its inbox. So there is no executor to schedule and no thread to
//! park.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::task::{ArcWake, waker_ref};
use parking_lot::Mutex;

struct Detached<F> {
    /// Wake-ups that no poll has followed yet; whoever makes it one polls for all.
    wakes: AtomicUsize,
    /// Empty once the future is done. Only the one who polls takes the lock.
    future: Mutex<Option<Pin<Box<F>>>>,
}

impl<F: Future<Output = ()> + Send + 'static> ArcWake for Detached<F> {
    fn wake_by_ref(task: &Arc<Self>) {
        if task.wakes.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        loop {
            let seen = task.wakes.load(Ordering::Acquire);
            if task.poll_once().is_ready() {
                // The count stays above zero, so nobody polls again.
                return;
            }
            let settled = task.wakes.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire);
            if settled.is_ok() {
                return;
            }
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Detached<F> {
    fn poll_once(self: &Arc<Self>) -> Poll<()> {
        let mut slot = self.future.lock();
        let Some(future) = slot.as_mut() else {
            return Poll::Ready(());
        };
        let waker = waker_ref(self);
        let poll = future.as_mut().poll(&mut Context::from_waker(&waker));
        if poll.is_ready() {
            *slot = None;
        }
        poll
    }
}

/// Starts `future` now and lets whoever wakes it carry it on, so a wake-up must come from where a
/// poll may run: outside the locks that the future takes.
pub(crate) fn detach<F: Future<Output = ()> + Send + 'static>(future: F) {
    let future = Mutex::new(Some(Box::pin(future)));
    ArcWake::wake(Arc::new(Detached { wakes: AtomicUsize::new(0), future }));
}

#[cfg(test)]
mod tests {
    use futures_channel::oneshot;

    use super::*;

    #[test]
    fn a_detached_future_goes_on_where_it_is_woken() {
        let (go, wait) = oneshot::channel::<()>();
        let (done, result) = oneshot::channel();
        detach(async move {
            let _went = wait.await;
            let _seen = done.send(std::thread::current().id());
        });
        let waker = std::thread::spawn(move || {
            go.send(()).unwrap();
            std::thread::current().id()
        });
        let ended_on = futures_executor::block_on(result).unwrap();
        assert_eq!(ended_on, waker.join().unwrap());
    }

    #[test]
    fn a_future_that_wakes_itself_is_polled_again() {
        let (done, result) = oneshot::channel();
        let mut polls = 0;
        detach(async move {
            std::future::poll_fn(|cx| {
                polls += 1;
                cx.waker().wake_by_ref();
                if polls < 3 { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            done.send(()).unwrap();
        });
        assert_eq!(futures_executor::block_on(result), Ok(()));
    }

    #[test]
    fn what_a_future_holds_is_dropped_when_it_ends() {
        let held = Arc::new(());
        let (go, wait) = oneshot::channel::<()>();
        let moved = Arc::clone(&held);
        detach(async move {
            let _went = wait.await;
            drop(moved);
        });
        assert_eq!(Arc::strong_count(&held), 2);
        go.send(()).unwrap();
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
