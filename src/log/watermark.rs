//! The high watermark: the end of what is durable, and those who wait for it to move.
//!
//! Only a sync moves it, forward. Consumers read below it and park on [`Past`] at it; a parked one
//! costs an entry in a map and no CPU.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::error::Stopped;
use super::offset::Offset;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A log's high watermark. All calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Watermark {
    end: AtomicU64,
    parked: Mutex<Parked>,
}

#[derive(Debug, Default)]
struct Parked {
    stopped: Option<Stopped>,
    next_ticket: u64,
    /// By the offset that must become durable, then by ticket.
    waiting: BTreeMap<(Offset, u64), Waker>,
}

impl Watermark {
    pub(crate) fn new(end: Offset) -> Self {
        Self { end: AtomicU64::new(end.get()), parked: Mutex::default() }
    }

    pub(crate) fn end(&self) -> Offset {
        Offset::new(self.end.load(Ordering::Acquire))
    }

    /// Moves the watermark to `end` and wakes whoever waited for an offset below it.
    pub(crate) fn advance(&self, end: Offset) {
        self.end.fetch_max(end.get(), Ordering::AcqRel);
        let woken = {
            let mut parked = self.parked.lock();
            let later = parked.waiting.split_off(&(end, 0));
            std::mem::replace(&mut parked.waiting, later)
        };
        // Woken outside the lock: a woken task may park again at once.
        woken.into_values().for_each(Waker::wake);
    }

    /// Wakes everyone: the watermark will not move again.
    pub(crate) fn stop(&self, why: Stopped) {
        let woken = {
            let mut parked = self.parked.lock();
            parked.stopped.get_or_insert(why);
            std::mem::take(&mut parked.waiting)
        };
        woken.into_values().for_each(Waker::wake);
    }

    /// Waits until the record at `offset` is durable.
    pub(crate) fn past(self: &Arc<Self>, offset: Offset) -> Past {
        Past { watermark: Arc::clone(self), offset, ticket: None }
    }
}

/// Resolves with the new high watermark once it is past an offset, or with the reason why it never
/// will be. Dropping it stops waiting.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Past {
    watermark: Arc<Watermark>,
    offset: Offset,
    ticket: Option<u64>,
}

impl Future for Past {
    type Output = Result<Offset, Stopped>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut parked = this.watermark.parked.lock();
        // Looked at under the lock that a wake-up takes after moving it, so none is missed.
        let end = this.watermark.end();
        if end > this.offset {
            return Poll::Ready(Ok(end));
        }
        if let Some(why) = parked.stopped {
            return Poll::Ready(Err(why));
        }
        let ticket = *this.ticket.get_or_insert_with(|| {
            parked.next_ticket += 1;
            parked.next_ticket
        });
        parked.waiting.insert((this.offset, ticket), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Past {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.watermark.parked.lock().waiting.remove(&(self.offset, ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(past: &mut Past) -> Poll<Result<Offset, Stopped>> {
        Pin::new(past).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_waiter_is_ready_only_past_its_offset() {
        let watermark = Arc::new(Watermark::new(Offset::new(5)));
        let mut past = watermark.past(Offset::new(6));
        assert_eq!(poll(&mut past), Poll::Pending);
        watermark.advance(Offset::new(6));
        assert_eq!(poll(&mut past), Poll::Pending);
        watermark.advance(Offset::new(7));
        assert_eq!(poll(&mut past), Poll::Ready(Ok(Offset::new(7))));
    }

    #[test]
    fn a_dropped_waiter_leaves_nothing_behind() {
        let watermark = Arc::new(Watermark::new(Offset::ZERO));
        let mut past = watermark.past(Offset::ZERO);
        assert_eq!(poll(&mut past), Poll::Pending);
        assert_eq!(watermark.parked.lock().waiting.len(), 1);
        drop(past);
        assert_eq!(watermark.parked.lock().waiting.len(), 0);
    }

    #[test]
    fn a_stop_answers_those_who_wait_and_those_who_come_later() {
        let watermark = Arc::new(Watermark::new(Offset::ZERO));
        let mut early = watermark.past(Offset::ZERO);
        assert_eq!(poll(&mut early), Poll::Pending);
        watermark.stop(Stopped::Closed);
        assert_eq!(poll(&mut early), Poll::Ready(Err(Stopped::Closed)));
        assert_eq!(poll(&mut watermark.past(Offset::ZERO)), Poll::Ready(Err(Stopped::Closed)));
    }
}
