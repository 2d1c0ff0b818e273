//! A commit group: the batches that one write-out carries, and those who wait for it.
//!
//! A batch's acknowledgement hangs on its group and not on an offset, because offsets of batches
//! that a full disk refused are given out again.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::error::AckError;
use super::offset::{Durability, Offset};
use crate::sync::Mutex;

/// The fate that some batches share. All calls may run concurrently.
#[derive(Debug, Default)]
pub(crate) struct Group {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    written: bool,
    /// What ends above it was dropped, which `ended` will say.
    kept: Option<Offset>,
    ended: Option<Ended>,
    waiters: Vec<Waiter>,
}

/// How a group ended: batches that end at or below `durable` are durable, the others `lost`.
#[derive(Clone, Copy, Debug)]
struct Ended {
    durable: Offset,
    lost: AckError,
}

#[derive(Debug)]
struct Waiter {
    level: Durability,
    waker: Option<Waker>,
}

/// Whoever waited for what is now decided; dropping it wakes them. That is for where no lock is
/// held: a woken task may send its reply, or append, on the spot.
#[derive(Debug, Default)]
#[must_use = "dropped at once it wakes at once"]
pub struct Woken(Vec<Waker>);

impl Woken {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn and(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}

impl Group {
    /// All batches of the group are in the kernel.
    pub(crate) fn written(&self) -> Woken {
        let mut state = self.state.lock();
        state.written = true;
        take_wakers(&mut state, |level| level <= Durability::Written)
    }

    /// All batches of the group are durable.
    pub(crate) fn durable(&self) -> Woken {
        // Nothing lies beyond the largest offset, so nobody is told of a loss.
        self.end(Offset::new(u64::MAX), AckError::Failed)
    }

    /// Batches that end above `kept` are dropped: whoever comes behind one of them is to know at
    /// once, those who wait for it by `end`.
    pub(crate) fn drop_above(&self, kept: Offset) {
        self.state.lock().kept = Some(kept);
    }

    /// Batches that end at or below `durable` are durable; the others are not there, or nobody
    /// knows, as `lost` says. The first call decides.
    pub(crate) fn end(&self, durable: Offset, lost: AckError) -> Woken {
        let mut state = self.state.lock();
        state.ended.get_or_insert(Ended { durable, lost });
        take_wakers(&mut state, |_| true)
    }
}

fn take_wakers(state: &mut State, of: impl Fn(Durability) -> bool) -> Woken {
    let waiting = state.waiters.iter_mut().filter(|waiter| of(waiter.level));
    Woken(waiting.filter_map(|waiter| waiter.waker.take()).collect())
}

/// A batch that others come behind: those are refused if it was dropped.
#[derive(Clone, Debug)]
pub struct Predecessor {
    group: Arc<Group>,
    next: Offset,
}

impl Predecessor {
    pub(crate) fn is_dropped(&self) -> bool {
        self.group.state.lock().kept.is_some_and(|kept| self.next > kept)
    }
}

/// An append that was taken: its place is known, its acknowledgement is to come.
///
/// As a future it resolves with the level reached once that is at least the one asked for.
/// Dropping it does not undo the append.
#[derive(Debug)]
#[must_use = "the append is acknowledged only through this"]
pub struct Pending {
    group: Arc<Group>,
    level: Durability,
    base: Offset,
    next: Offset,
    append_time_us: u64,
    is_duplicate: bool,
    waiter: Option<usize>,
}

impl Pending {
    pub(crate) fn new(
        group: Arc<Group>,
        level: Durability,
        (base, next): (Offset, Offset),
        append_time_us: u64,
    ) -> Self {
        Self { group, level, base, next, append_time_us, is_duplicate: false, waiter: None }
    }

    /// Says that the batch was there before.
    pub(crate) fn duplicate(self) -> Self {
        Self { is_duplicate: true, ..self }
    }

    /// The offset of the batch's first record.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        self.base
    }

    /// The offset after the batch's last record.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.next
    }

    /// Whether the batch was in the log already, at these offsets, and was not appended again.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.is_duplicate
    }

    /// When the log took the batch, in microseconds since the Unix epoch; 0 for a duplicate.
    #[must_use]
    pub fn append_time_us(&self) -> u64 {
        self.append_time_us
    }

    /// What the next batch of a stream comes behind: this one, or the one before if a duplicate
    /// stands further down in the log.
    #[must_use]
    pub fn behind(&self, before: Option<Predecessor>) -> Predecessor {
        let is_later = |before: &Predecessor| before.next > self.next;
        let this = || Predecessor { group: Arc::clone(&self.group), next: self.next };
        before.filter(is_later).unwrap_or_else(this)
    }

    fn outcome(&self, state: &State) -> Option<Result<Durability, AckError>> {
        match state.ended {
            Some(ended) if self.next <= ended.durable => Some(Ok(Durability::Synced)),
            Some(ended) => Some(Err(ended.lost)),
            None if state.written && self.level <= Durability::Written => {
                Some(Ok(Durability::Written))
            }
            None if self.level == Durability::Buffered => Some(Ok(Durability::Buffered)),
            None => None,
        }
    }
}

impl Future for Pending {
    type Output = Result<Durability, AckError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = this.group.state.lock();
        if let Some(outcome) = this.outcome(&state) {
            return Poll::Ready(outcome);
        }
        let waker = Some(cx.waker().clone());
        match this.waiter.and_then(|n| state.waiters.get_mut(n)) {
            Some(waiter) => waiter.waker = waker,
            None => {
                this.waiter = Some(state.waiters.len());
                state.waiters.push(Waiter { level: this.level, waker });
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(group: &Arc<Group>, level: Durability, next: u64) -> Pending {
        Pending::new(Arc::clone(group), level, (Offset::ZERO, Offset::new(next)), 0)
    }

    fn poll(pending: &mut Pending) -> Poll<Result<Durability, AckError>> {
        Pin::new(pending).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn each_level_waits_for_its_own_step() {
        let group = Arc::new(Group::default());
        let [mut buffered, mut written, mut synced] =
            [Durability::Buffered, Durability::Written, Durability::Synced]
                .map(|level| pending(&group, level, 1));
        assert_eq!(poll(&mut buffered), Poll::Ready(Ok(Durability::Buffered)));
        assert_eq!((poll(&mut written), poll(&mut synced)), (Poll::Pending, Poll::Pending));
        drop(group.written());
        assert_eq!(poll(&mut written), Poll::Ready(Ok(Durability::Written)));
        assert_eq!(poll(&mut synced), Poll::Pending);
        drop(group.durable());
        assert_eq!(poll(&mut synced), Poll::Ready(Ok(Durability::Synced)));
    }

    #[test]
    fn a_group_that_ends_halfway_splits_its_batches() {
        let group = Arc::new(Group::default());
        let (mut kept, mut lost) =
            (pending(&group, Durability::Synced, 5), pending(&group, Durability::Synced, 6));
        drop(group.end(Offset::new(5), AckError::NoSpace));
        assert_eq!(poll(&mut kept), Poll::Ready(Ok(Durability::Synced)));
        assert_eq!(poll(&mut lost), Poll::Ready(Err(AckError::NoSpace)));
    }

    #[test]
    fn polling_again_replaces_the_waker() {
        let group = Arc::new(Group::default());
        let mut one = pending(&group, Durability::Synced, 1);
        assert_eq!((poll(&mut one), poll(&mut one)), (Poll::Pending, Poll::Pending));
        assert_eq!(group.state.lock().waiters.len(), 1);
    }
}
