//! Ctrl-C and SIGTERM as something to wait for, so that a command ends in order and says how far it
//! came. The second signal ends it at once.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use futures_executor::block_on;
use futures_timer::Delay;
use futures_util::future::{Either, select};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::error::CliError;

/// The number of a signal.
pub(super) type Signal = i32;

/// What the signals of this process come to. One at a time is enough.
#[derive(Debug)]
pub(super) struct Interrupt {
    receiver: oneshot::Receiver<Signal>,
    fired: Option<Signal>,
}

impl Interrupt {
    /// Takes the signals from now on.
    pub(super) fn watch() -> Result<Self, CliError> {
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(CliError::Signals)?;
        let (sender, receiver) = oneshot::channel();
        let watching = move || {
            let mut signals = signals.forever();
            if let Some(signal) = signals.next() {
                // Whoever waits no more is about to end anyway.
                let _ = sender.send(signal);
            }
            if let Some(signal) = signals.next() {
                end(signal);
            }
        };
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(watching)
            .map_err(CliError::Thread)?;
        Ok(Self { receiver, fired: None })
    }

    /// The signal, if there was one.
    pub(super) fn fired(&mut self) -> Option<Signal> {
        if self.fired.is_none() {
            // Without the thread that watches there will be none.
            self.fired = self.receiver.try_recv().ok().flatten();
        }
        self.fired
    }

    /// Ready with the signal once there was one.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Signal> {
        if self.fired.is_none()
            && let Poll::Ready(Ok(signal)) = Pin::new(&mut self.receiver).poll(cx)
        {
            self.fired = Some(signal);
        }
        self.fired.map_or(Poll::Pending, Poll::Ready)
    }

    /// Waits so long, or until there is a signal.
    ///
    /// # Errors
    ///
    /// The signal.
    pub(super) fn sleep(&mut self, pause: Duration) -> Result<(), Signal> {
        let signal = std::future::poll_fn(|cx| self.poll(cx));
        match block_on(select(Delay::new(pause), signal)) {
            Either::Left(_) => Ok(()),
            Either::Right((signal, _)) => Err(signal),
        }
    }
}

/// Ends the process as the signal would have ended it, so that a shell sees it.
pub(super) fn end(signal: Signal) {
    // If it cannot, the caller ends the process by its exit code.
    let _ = emulate_default_handler(signal);
}
