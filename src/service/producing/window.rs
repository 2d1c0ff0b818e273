//! The batches of one produce stream that are appended and not yet acknowledged, in order.
//!
//! The stream's thread fills it and stops while it is full, which the client feels as flow control
//! once the inbox is full as well; the acknowledger empties it from the front, on whichever thread
//! makes a batch durable.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;

use super::order::Appended;
use crate::log::{AckError, Pending};
use crate::service::ending::Ending;
use crate::service::limits::Limits;
use crate::service::wait::wake;

/// What is in flight. One thread fills it while one task empties it.
#[derive(Debug)]
pub(super) struct Window {
    batches_max: usize,
    bytes_max: usize,
    // Nobody is woken under it: the acknowledger goes on where it is woken.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_flight: VecDeque<InFlight>,
    bytes: usize,
    /// How the stream ends once all is acknowledged.
    ending: Option<Ending>,
    /// How it ends if the client takes no replies.
    cut: Option<Ending>,
    reader: Option<Waker>,
    acknowledger: Option<Waker>,
}

#[derive(Debug)]
struct InFlight {
    pending: Pending,
    bytes: usize,
    began: Instant,
}

/// What the front of the window comes to.
#[derive(Debug)]
pub(super) enum Next {
    /// The batch, which was taken at this time, has reached its level.
    Acknowledged(Appended, Instant),
    /// The batch at the front is not, or nobody knows.
    Lost(AckError),
    /// All is acknowledged and no more will come.
    Ended(Ending),
}

impl Window {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            batches_max: limits.stream_unacknowledged_max,
            bytes_max: limits.stream_unacknowledged_bytes_max,
            state: Mutex::default(),
        }
    }

    /// Waits until another batch may be read; its size is not known before.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let state = &mut *self.state.lock();
        if state.in_flight.len() < self.batches_max && state.bytes < self.bytes_max {
            return Poll::Ready(());
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Adds a batch of `bytes`, which was taken when it `began`, at the back.
    pub(super) fn push(&self, pending: Pending, bytes: usize, began: Instant) {
        self.change(|state| {
            state.in_flight.push_back(InFlight { pending, bytes, began });
            state.bytes += bytes;
        });
    }

    /// Says that no more will come, and how the stream ends after what is in flight.
    pub(super) fn end(&self, ending: Ending) {
        self.change(|state| state.ending = Some(ending));
    }

    /// Says that a client which takes no replies is not waited for.
    pub(super) fn cut(&self, ending: Ending) {
        self.change(|state| state.cut = Some(ending));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let acknowledger = {
            let state = &mut *self.state.lock();
            change(state);
            state.acknowledger.take()
        };
        wake(acknowledger);
    }

    /// Waits for a cut.
    pub(super) fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<Ending> {
        let state = &mut *self.state.lock();
        if let Some(ending) = state.cut.take() {
            return Poll::Ready(ending);
        }
        state.acknowledger = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Waits for the front of the window and takes it off. After `Lost` and `Ended` there is
    /// nothing more to ask.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Next> {
        let (next, reader) = {
            let state = &mut *self.state.lock();
            let Some(front) = state.in_flight.front_mut() else {
                if let Some(ending) = state.ending.take() {
                    return Poll::Ready(Next::Ended(ending));
                }
                state.acknowledger = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let Poll::Ready(outcome) = Pin::new(&mut front.pending).poll(cx) else {
                return Poll::Pending;
            };
            let began = front.began;
            let outcome = outcome.map(|level| Appended::of(&front.pending, level));
            state.bytes -= front.bytes;
            state.in_flight.pop_front();
            let next = match outcome {
                Ok(appended) => Next::Acknowledged(appended, began),
                Err(error) => Next::Lost(error),
            };
            (next, state.reader.take())
        };
        wake(reader);
        Poll::Ready(next)
    }
}
