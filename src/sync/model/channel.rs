//! Bounded channels in a model, with the part of crossbeam's interface that the storage uses.
//!
//! A wait for a time ends when the scheduler says so. One that nothing depends on, between two
//! looks around, times out a few times and then no more: so whoever waits in vain is a deadlock,
//! which the scheduler reports, and not hidden by a housekeeper that looks around for ever.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

pub(crate) use crossbeam_channel::{RecvError, RecvTimeoutError, TryRecvError, TrySendError};
use shuttle::rand::{Rng as _, thread_rng};
use shuttle::sync::Condvar;

use super::Mutex;
use super::clock::{self, Instant};

/// How often a wait for one of two channels times out in a model.
const IDLE_TIMEOUTS: u32 = 3;

struct Channel<T> {
    capacity: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    queue: VecDeque<T>,
    senders: usize,
    /// Those who wait for a message, or for the last sender to go.
    parked: Vec<Arc<Bell>>,
    idle_timeouts: u32,
}

impl<T> State<T> {
    fn take(&mut self) -> Result<T, TryRecvError> {
        match self.queue.pop_front() {
            Some(message) => Ok(message),
            None if self.senders == 0 => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Has those who wait look again. Which of them gets the message is for the scheduler to say.
    fn wake(&mut self) {
        self.parked.drain(..).for_each(|bell| bell.ring());
    }
}

/// Wakes one thread, once. Unlike a parked thread it is never woken by nobody, which would hide a
/// wake-up that was lost.
#[derive(Default)]
struct Bell {
    has_rung: shuttle::sync::Mutex<bool>,
    rings: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.has_rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rings.notify_one();
    }

    fn wait(&self) {
        let mut has_rung = self.has_rung.lock().unwrap_or_else(PoisonError::into_inner);
        while !*has_rung {
            has_rung = self.rings.wait(has_rung).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

pub(crate) fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let state = State {
        queue: VecDeque::new(),
        senders: 1,
        parked: Vec::new(),
        idle_timeouts: IDLE_TIMEOUTS,
    };
    let channel = Arc::new(Channel { capacity, state: Mutex::new(state) });
    (Sender(Arc::clone(&channel)), Receiver(channel))
}

/// The end that messages go in at.
pub(crate) struct Sender<T>(Arc<Channel<T>>);

impl<T> Sender<T> {
    pub(crate) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut state = self.0.state.lock();
        if state.queue.len() >= self.0.capacity {
            return Err(TrySendError::Full(message));
        }
        state.queue.push_back(message);
        state.wake();
        Ok(())
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        Some(self.0.capacity)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut state = self.0.state.lock();
        state.senders -= 1;
        state.wake();
    }
}

/// The end that messages come out of.
pub(crate) struct Receiver<T>(Arc<Channel<T>>);

impl<T> Receiver<T> {
    pub(crate) fn len(&self) -> usize {
        self.0.state.lock().queue.len()
    }

    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        self.0.state.lock().take()
    }

    pub(crate) fn recv(&self) -> Result<T, RecvError> {
        loop {
            let bell = Arc::default();
            match self.take_or_hear(&bell) {
                Some(taken) => return taken,
                None => bell.wait(),
            }
        }
    }

    pub(crate) fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        for _ in 0..clock::looks() {
            match self.try_recv() {
                Ok(message) => return Ok(message),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => clock::look_later(),
            }
        }
        clock::reach(deadline);
        Err(RecvTimeoutError::Timeout)
    }

    /// Takes a message, or sees to it that `bell` rings when there may be one.
    fn take_or_hear(&self, bell: &Arc<Bell>) -> Option<Result<T, RecvError>> {
        let mut state = self.0.state.lock();
        match state.take() {
            Ok(message) => Some(Ok(message)),
            Err(TryRecvError::Disconnected) => Some(Err(RecvError)),
            Err(TryRecvError::Empty) => {
                state.parked.push(Arc::clone(bell));
                None
            }
        }
    }

    /// Whether a wait that nothing depends on may time out once more.
    fn may_time_out(&self) -> bool {
        let mut state = self.0.state.lock();
        let may = state.idle_timeouts > 0;
        state.idle_timeouts = state.idle_timeouts.saturating_sub(1);
        may
    }
}

macro_rules! name_alone {
    ($($name:ident),*) => {$(
        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}
name_alone!(Sender, Receiver);

/// What a wait for two channels came to.
pub(crate) enum Selected<A, B> {
    First(Result<A, RecvError>),
    Second(Result<B, RecvError>),
    Neither,
}

/// Waits for a message of either, or for `wait` to pass; of two at hand the dice choose.
pub(crate) fn either<A, B>(
    (first, second): (&Receiver<A>, &Receiver<B>),
    wait: Duration,
) -> Selected<A, B> {
    let deadline = Instant::now() + wait;
    let mut looks = clock::looks();
    let mut may_time_out = first.may_time_out();
    loop {
        let bell = Arc::default();
        let first_first = thread_rng().gen_ratio(1, 2);
        if first_first && let Some(taken) = first.take_or_hear(&bell) {
            return Selected::First(taken);
        }
        if let Some(taken) = second.take_or_hear(&bell) {
            return Selected::Second(taken);
        }
        if !first_first && let Some(taken) = first.take_or_hear(&bell) {
            return Selected::First(taken);
        }
        if looks > 0 {
            looks -= 1;
            clock::look_later();
        } else if std::mem::take(&mut may_time_out) {
            clock::reach(deadline);
            return Selected::Neither;
        } else {
            bell.wait();
        }
    }
}

/// Crossbeam's `select!` in the one form that the storage uses.
macro_rules! select {
    (
        recv($first:expr) -> $a:pat => $on_first:expr,
        recv($second:expr) -> $b:pat => $on_second:expr,
        default($wait:expr) => $on_neither:expr $(,)?
    ) => {
        match $crate::sync::channel::either(($first, &$second), $wait) {
            $crate::sync::channel::Selected::First($a) => $on_first,
            $crate::sync::channel::Selected::Second($b) => $on_second,
            $crate::sync::channel::Selected::Neither => $on_neither,
        }
    };
}
pub(crate) use select;
