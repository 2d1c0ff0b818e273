//! Appends the batches of an input, over one call or, when that breaks, over several.
//!
//! A thread reads the input, because that may wait for ever; a refusal is reported at once also
//! while it does. How much is in flight is the server's to say: beyond what it takes it stops
//! reading, and then so does the input's thread.

use std::future::poll_fn;
use std::io::Read;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures_channel::mpsc::{self, Sender};
use futures_channel::oneshot;
use futures_executor::block_on;
use futures_timer::Delay;
use futures_util::future::{Either, select};
use grpcio::RpcStatusCode;
use parking_lot::Mutex;

use super::batches::Batches;
use super::delivery::{Delivery, Ready, Terms};
use super::exchange::{Broken, exchange};
use super::input::Taken;
use super::producer::Producer;
use super::report::{Acknowledged, Unfinished};
use crate::cli::client::connection::Connection;
use crate::cli::client::error::ClientError;
use crate::cli::client::refusal::Refusal;
use crate::cli::client::retry::Retry;
use crate::cli::error::CliError;
use crate::cli::interrupt::{Interrupt, Signal};
use crate::cli::output::chain;
use crate::cli::progress::Progress;

/// Batches that were read and not yet sent. Each may be large.
const QUEUED_BATCHES_MAX: usize = 4;
/// How often the progress is looked at.
const TICK: Duration = Duration::from_millis(200);
/// How long answers are waited for once the user wants to go.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// An input on its way to the server.
pub(super) struct Shipment {
    connection: Connection,
    delivery: Arc<Mutex<Delivery>>,
    retry: Retry,
    interrupt: Interrupt,
    progress: Progress,
    /// Whether there ever was a connection.
    was_reached: bool,
}

/// How a call ended.
enum Ended {
    Over,
    Broken(ClientError),
    Interrupted(Signal),
}

/// How a call ended, from the thread that owns the connection.
type Outcome = oneshot::Receiver<Result<(), Broken>>;

impl Shipment {
    /// Begins to read the input. `skipped` is what was left out of it already.
    pub(super) fn new<R: Read + Send + 'static>(
        connection: Connection,
        (batches, skipped): (Batches<R>, Taken),
        terms: Terms,
        retry: Retry,
        progress: Progress,
    ) -> Result<Self, CliError> {
        let (queue, queued) = mpsc::channel(QUEUED_BATCHES_MAX);
        // It may wait for input for ever, and ends with the process.
        thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || read(batches, queue))
            .map_err(CliError::Thread)?;
        let delivery = Arc::new(Mutex::new(Delivery::new(terms, queued, skipped)));
        let interrupt = Interrupt::watch()?;
        Ok(Self { connection, delivery, retry, interrupt, progress, was_reached: false })
    }

    /// Sends everything, and returns once the last batch is acknowledged.
    pub(super) fn send_all(&mut self) -> Result<(), CliError> {
        loop {
            let before = self.delivery.lock().acknowledged();
            let ended = self.call();
            if self.delivery.lock().acknowledged() != before {
                self.retry.succeeded();
            }
            match ended {
                Ended::Interrupted(signal) => return Err(self.interrupted(signal)),
                Ended::Broken(error) => self.recover(error)?,
                Ended::Over if self.delivery.lock().is_done() => return self.input_fault(),
                Ended::Over => self.recover(ClientError::EndedEarly)?,
            }
        }
    }

    /// What was acknowledged so far.
    pub(super) fn acknowledged(&self) -> Acknowledged {
        self.delivery.lock().acknowledged()
    }

    /// Who counts, and the number of the next batch.
    pub(super) fn producer(&self) -> Option<Producer> {
        self.delivery.lock().producer()
    }

    fn call(&mut self) -> Ended {
        self.delivery.lock().begin();
        let signal = poll_fn(|cx| self.interrupt.poll(cx));
        match block_on(select(pin!(self.connection.connect()), signal)) {
            Either::Left((Ok(()), _)) => self.was_reached = true,
            Either::Left((Err(error), _)) => return Ended::Broken(error),
            Either::Right((signal, _)) => return Ended::Interrupted(signal),
        }
        let client = self.connection.log();
        let (sender, receiver) = match client.produce_stream() {
            Ok(call) => call,
            Err(error) => return Ended::Broken(self.connection.explain(error)),
        };
        let (outcome, ended) = oneshot::channel();
        let delivery = Arc::clone(&self.delivery);
        client.spawn(async move {
            // Nobody wants it once the process is about to end.
            let _ = outcome.send(exchange(sender, receiver, delivery).await);
        });
        self.await_end(ended)
    }

    /// Waits for the end of a call, and tells meanwhile how far it is.
    fn await_end(&mut self, mut ended: Outcome) -> Ended {
        loop {
            let tick = Delay::new(TICK);
            let signal = poll_fn(|cx| self.interrupt.poll(cx));
            match block_on(select(&mut ended, select(signal, tick))) {
                Either::Left((Ok(Ok(())), _)) => return Ended::Over,
                Either::Left((Ok(Err(broken)), _)) => return Ended::Broken(self.explain(broken)),
                // The connection's thread is gone, with all that it had to say.
                Either::Left((Err(oneshot::Canceled), _)) => {
                    return Ended::Broken(ClientError::EndedEarly);
                }
                Either::Right((Either::Left((signal, _)), _)) => {
                    self.delivery.lock().stop();
                    // How the call ends does not matter any more.
                    let _ = block_on(select(&mut ended, Delay::new(LAST_ANSWERS)));
                    return Ended::Interrupted(signal);
                }
                Either::Right((Either::Right(_), _)) => self.look(),
            }
        }
    }

    fn look(&mut self) {
        let delivery = self.delivery.lock();
        let (bytes, acknowledged) = (delivery.input_bytes_done(), delivery.acknowledged());
        drop(delivery);
        self.progress.set(bytes, || format!("{} records", acknowledged.records));
    }

    fn explain(&self, broken: Broken) -> ClientError {
        match broken {
            Broken::Call(error) => self.connection.explain(error),
            Broken::Unfitting(unfitting) => ClientError::Unfitting { what: unfitting.0 },
        }
    }

    /// Waits and connects anew, if that may help and what is in flight can be sent again.
    fn recover(&mut self, error: ClientError) -> Result<(), CliError> {
        let error = if self.was_reached { error.after_contact() } else { error };
        if is_about_producers(&error) && self.delivery.lock().drop_producer() {
            self.progress.note(format_args!(
                "varve: {}; without a producer's id nothing is sent a second time",
                chain(&error)
            ));
            return Ok(());
        }
        let can_repeat = self.delivery.lock().can_repeat() || was_not_appended(&error);
        let may_pass = error.may_pass(self.was_reached) && can_repeat;
        let is_first = !self.retry.is_trying();
        let pause = match self.retry.after(Instant::now(), error.retry_after()) {
            Some(pause) if may_pass => pause,
            _ => return Err(self.failed(error)),
        };
        if is_first {
            let limit = self.retry.limit().as_secs();
            self.progress.note(format_args!(
                "varve: {}; what was not acknowledged is sent again, for {limit}s",
                chain(&error)
            ));
        }
        self.interrupt.sleep(pause).map_err(|signal| self.interrupted(signal))?;
        self.connection = self.connection.reopen().map_err(|error| self.failed(error))?;
        Ok(())
    }

    fn input_fault(&self) -> Result<(), CliError> {
        let mut delivery = self.delivery.lock();
        match delivery.take_failed() {
            Some(why) => Err(CliError::Input { done: delivery.unfinished().into(), why }),
            None => Ok(()),
        }
    }

    fn failed(&self, why: ClientError) -> CliError {
        CliError::Produce { done: self.unfinished(&why), why: why.into() }
    }

    fn interrupted(&self, signal: Signal) -> CliError {
        let done = self.delivery.lock().unfinished();
        CliError::Interrupted { done: done.into(), signal }
    }

    /// How far it came. Of what a request refused nothing is in the log.
    fn unfinished(&self, why: &ClientError) -> Box<Unfinished> {
        let delivery = self.delivery.lock();
        let mut unfinished = delivery.unfinished();
        let refusal = match why {
            ClientError::Refused(refusal) => Some(refusal),
            _ => None,
        };
        let never_arrived = !self.was_reached && why.is_no_contact();
        if refusal.is_some_and(|refusal| is_verdict(refusal)) || never_arrived {
            // What an earlier call took with it may be there all the same.
            unfinished.unknown = delivery.sent_before();
        }
        if refusal.is_none_or(|refusal| refusal.code != RpcStatusCode::INVALID_ARGUMENT) {
            // The fault is not in the records.
            unfinished.next = None;
        }
        unfinished.into()
    }
}

/// Reads until the input ends or nobody wants more of it.
fn read<R: Read>(mut batches: Batches<R>, mut queue: Sender<Ready>) {
    loop {
        let next = match batches.next() {
            Ok(Some(batch)) => Ok(batch),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let is_last = next.is_err();
        let queued = block_on(poll_fn(|cx| queue.poll_ready(cx)));
        if queued.and_then(|()| queue.start_send(next)).is_err() || is_last {
            return;
        }
    }
}

/// Whether the server says so of a request itself: it and all behind it were not appended. Without
/// a reason it is the transport that says so, which knows nothing of requests: a message that is
/// too large for it ends the call while those before it are at work. Only if it says that the call
/// came to no method, none was.
fn is_verdict(refusal: &Refusal) -> bool {
    match refusal.code {
        RpcStatusCode::PERMISSION_DENIED | RpcStatusCode::UNIMPLEMENTED => true,
        RpcStatusCode::INVALID_ARGUMENT
        | RpcStatusCode::NOT_FOUND
        | RpcStatusCode::RESOURCE_EXHAUSTED
        | RpcStatusCode::FAILED_PRECONDITION => !refusal.reason.is_empty(),
        _ => false,
    }
}

/// Whether the log knows as many producers as it may.
fn is_about_producers(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused(refusal) if refusal.reason == "PRODUCERS_MAX")
}

fn was_not_appended(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused(refusal) if is_verdict(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transport's refusal of a message that was too large counted as one of the server's, and
    /// records that were in the log were said not to be.
    #[test]
    fn what_the_transport_says_decides_about_no_request() {
        let says = |code, reason| is_verdict(&Refusal::of(code, reason));
        for code in [
            RpcStatusCode::INVALID_ARGUMENT,
            RpcStatusCode::NOT_FOUND,
            RpcStatusCode::RESOURCE_EXHAUSTED,
            RpcStatusCode::FAILED_PRECONDITION,
        ] {
            assert!(says(code, "DISK_RESERVE") && !says(code, ""), "{code}");
        }
        for code in [RpcStatusCode::PERMISSION_DENIED, RpcStatusCode::UNIMPLEMENTED] {
            assert!(says(code, ""), "{code}");
        }
        assert!(!says(RpcStatusCode::UNAVAILABLE, "STORAGE_FAILED"));
    }
}
