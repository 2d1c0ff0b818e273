//! Replies on their way out of a stream.
//!
//! The stream's thread puts them in and goes on. They are sent by whoever is at hand: the first by
//! that thread, each further one by the thread that finds the one before it sent, which is mostly a
//! poll thread. So a reply costs the stream's thread no wake-up.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::{Sink, SinkExt as _};
use grpcio::{RpcStatus, WriteFlags};
use parking_lot::Mutex;

use super::detach::detach;
use super::message::Reply;
use super::wait::{wait_until, wake};

/// What may wait to be sent, in bytes; beyond that the stream has to wait.
const WAITING_BYTES_MAX: usize = 256 * 1024;
/// What a waiting reply takes besides its bytes.
const REPLY_BYTES: usize = 64;

/// The client is gone: there is nobody to tell anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// The way out of one stream, for the one task that fills it. Dropping it cuts the client off.
#[derive(Debug)]
pub(crate) struct Outbox(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    steps: VecDeque<Step>,
    bytes: usize,
    /// Replies were put in since the last flush.
    unflushed: bool,
    /// How many steps the sender has taken.
    taken: u64,
    cut_off: bool,
    ended: bool,
    /// The last step, the stream's end, is out.
    told: bool,
    sender: Option<Waker>,
    /// The sender waits for a step.
    sender_idle: bool,
    /// The stream, which waits for the end, and whether it also waits for room.
    owner: Option<Waker>,
    owner_wants_room: bool,
}

/// What the sender is to do.
#[derive(Debug)]
enum Step {
    Send(Reply),
    Flush,
    Close,
    Fail(RpcStatus),
}

impl Outbox {
    /// Sends into `sink`, whose own method `fail` is, which no trait has.
    pub(crate) fn open<S, F>(sink: S, fail: fn(S, RpcStatus) -> F) -> Self
    where
        S: Sink<(Reply, WriteFlags)> + Unpin + Send + 'static,
        F: Future + Send + 'static,
    {
        let shared = Arc::new(Shared::default());
        let outbox = Self(Arc::clone(&shared));
        detach(async move {
            let told = {
                let mut sending = pin!(send(&shared, sink, fail));
                poll_fn(|cx| match shared.poll_cut_off(cx) {
                    // The sink goes, and the call with it.
                    Poll::Ready(()) => Poll::Ready(false),
                    Poll::Pending => sending.as_mut().poll(cx),
                })
                .await
            };
            shared.end(told);
        });
        outbox
    }

    /// Waits until another reply may be put in.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let state = &mut *self.0.state.lock();
        if state.ended {
            return Poll::Ready(Err(Gone));
        }
        if state.bytes < WAITING_BYTES_MAX {
            return Poll::Ready(Ok(()));
        }
        state.owner = Some(cx.waker().clone());
        state.owner_wants_room = true;
        Poll::Pending
    }

    /// Whether another reply may be put in.
    pub(crate) fn has_room(&self) -> Result<bool, Gone> {
        let state = self.0.state.lock();
        if state.ended { Err(Gone) } else { Ok(state.bytes < WAITING_BYTES_MAX) }
    }

    /// Waits until the client is gone.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<Gone> {
        let state = &mut *self.0.state.lock();
        if state.ended {
            return Poll::Ready(Gone);
        }
        state.owner = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Puts in a reply, which may be held back until the next `flush`.
    pub(crate) fn push(&self, reply: Reply) {
        self.add(Step::Send(reply));
    }

    /// Has all go out that was put in.
    pub(crate) fn flush(&self) {
        let unflushed = std::mem::take(&mut self.0.state.lock().unflushed);
        if unflushed {
            self.add(Step::Flush);
        }
    }

    /// Sends what is left and then the end: a failure, or that all went well. Blocks until that is
    /// out, or the client took nothing for `patience` and at most twice that, or `time_is_up`: then
    /// the client is cut off. Returns whether the end is out.
    pub(crate) fn finish(
        self,
        failure: Option<RpcStatus>,
        patience: Duration,
        time_is_up: impl Future<Output = ()>,
    ) -> bool {
        self.flush();
        self.add(failure.map_or(Step::Close, Step::Fail));
        let mut time_is_up = pin!(time_is_up);
        let mut over = poll_fn(|cx| {
            if self.poll_gone(cx).is_ready() {
                return Poll::Ready(());
            }
            time_is_up.as_mut().poll(cx)
        });
        loop {
            let before = self.taken();
            // Nobody is woken for each step: whether there were any is seen in the end.
            let waited = wait_until(&mut over, Instant::now() + patience);
            if waited.is_some() || self.taken() == before {
                return self.0.state.lock().told;
            }
        }
    }

    fn taken(&self) -> u64 {
        self.0.state.lock().taken
    }

    fn add(&self, step: Step) {
        let sender = {
            let state = &mut *self.0.state.lock();
            state.unflushed |= matches!(step, Step::Send(_));
            state.bytes += step.bytes();
            state.steps.push_back(step);
            if std::mem::take(&mut state.sender_idle) { state.sender.take() } else { None }
        };
        wake(sender);
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let sender = {
            let state = &mut *self.0.state.lock();
            state.cut_off = true;
            state.sender.take()
        };
        wake(sender);
    }
}

impl Shared {
    fn poll_cut_off(&self, cx: &mut Context<'_>) -> Poll<()> {
        let state = &mut *self.state.lock();
        if state.cut_off {
            return Poll::Ready(());
        }
        state.sender = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Waits for the next step.
    fn poll_step<S>(&self, cx: &mut Context<'_>, sink: &mut S) -> Poll<Result<Step, Gone>>
    where
        S: Sink<(Reply, WriteFlags)> + Unpin,
    {
        let (step, owner) = {
            let state = &mut *self.state.lock();
            let step = state.steps.pop_front();
            state.sender_idle = step.is_none();
            state.taken += u64::from(step.is_some());
            state.bytes -= step.as_ref().map_or(0, Step::bytes);
            // Not for each reply: once there is room for many.
            let roomy = state.bytes <= WAITING_BYTES_MAX / 2;
            let wanted = roomy && std::mem::take(&mut state.owner_wants_room);
            (step, if wanted { state.owner.take() } else { None })
        };
        wake(owner);
        match step {
            Some(step) => Poll::Ready(Ok(step)),
            // A sink that has nothing to do tells that the client is gone.
            None => match sink.poll_ready_unpin(cx) {
                Poll::Ready(Err(_gone)) => Poll::Ready(Err(Gone)),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
            },
        }
    }

    fn end(&self, told: bool) {
        let owner = {
            let state = &mut *self.state.lock();
            state.ended = true;
            state.told = told;
            state.steps.clear();
            state.owner.take()
        };
        wake(owner);
    }
}

impl Step {
    fn bytes(&self) -> usize {
        if let Self::Send(reply) = self { reply.len() + REPLY_BYTES } else { 0 }
    }
}

/// Takes steps to the end, and returns whether the last of them is out. After an error the sink
/// must not be asked anything.
async fn send<S, F>(shared: &Shared, mut sink: S, fail: fn(S, RpcStatus) -> F) -> bool
where
    S: Sink<(Reply, WriteFlags)> + Unpin,
    F: Future,
{
    loop {
        let taken = match poll_fn(|cx| shared.poll_step(cx, &mut sink)).await {
            // Without a hint of its own each reply counts as one to go out with the next flush.
            Ok(Step::Send(reply)) => sink.feed((reply, WriteFlags::default())).await,
            Ok(Step::Flush) => sink.flush().await,
            Ok(Step::Close) => return sink.close().await.is_ok(),
            Ok(Step::Fail(status)) => {
                let _failed = fail(sink, status).await;
                return true;
            }
            Err(Gone) => return false,
        };
        if taken.is_err() {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    /// What a client got, and how it behaves.
    #[derive(Clone, Debug, Default)]
    struct Client {
        got: Arc<Mutex<Vec<String>>>,
        is_stuck: Arc<AtomicBool>,
        is_gone: Arc<AtomicBool>,
        /// What is let pass although it is stuck.
        may_pass: Arc<AtomicUsize>,
        waker: Arc<Mutex<Option<Waker>>>,
    }

    impl Client {
        fn open(&self) -> Outbox {
            Outbox::open(self.clone(), |client, status: RpcStatus| {
                client.note(status.message());
                ready(())
            })
        }

        fn note(&self, what: &str) {
            self.got.lock().push(what.to_owned());
        }

        fn got(&self) -> String {
            self.got.lock().join(" ")
        }

        fn let_one_pass(&self) {
            self.may_pass.fetch_add(1, Ordering::SeqCst);
            let waker = self.waker.lock().take();
            wake(waker);
        }

        fn set(&self, what: &AtomicBool, now: bool) {
            what.store(now, Ordering::SeqCst);
            let waker = self.waker.lock().take();
            wake(waker);
        }

        fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
            *self.waker.lock() = Some(cx.waker().clone());
            if self.is_gone.load(Ordering::SeqCst) {
                return Poll::Ready(Err(Gone));
            }
            let passes = |may: usize| may.checked_sub(1);
            let is_stuck = self.is_stuck.load(Ordering::SeqCst)
                && self.may_pass.fetch_update(Ordering::SeqCst, Ordering::SeqCst, passes).is_err();
            if is_stuck { Poll::Pending } else { Poll::Ready(Ok(())) }
        }
    }

    impl Sink<(Reply, WriteFlags)> for Client {
        type Error = Gone;

        fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
            self.poll(cx)
        }

        fn start_send(self: Pin<&mut Self>, (reply, _): (Reply, WriteFlags)) -> Result<(), Gone> {
            let first = reply.as_bytes().first().copied().unwrap_or_default();
            self.note(&first.to_string());
            Ok(())
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
            self.poll(cx).map_ok(|()| self.note("flushed"))
        }

        fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
            self.poll(cx).map_ok(|()| self.note("closed"))
        }
    }

    const PATIENCE: Duration = Duration::from_secs(60);

    fn reply(first: u8, bytes: usize) -> Reply {
        let mut message = vec![0; bytes];
        message[0] = first;
        Reply::new(message)
    }

    fn finish(outbox: Outbox, failure: Option<RpcStatus>) -> bool {
        outbox.finish(failure, PATIENCE, pending())
    }

    fn room(outbox: &Outbox) -> Poll<Result<(), Gone>> {
        outbox.poll_room(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn replies_go_out_in_order_and_are_flushed_once() {
        let client = Client::default();
        let outbox = client.open();
        outbox.push(reply(1, 1));
        outbox.push(reply(2, 1));
        assert_eq!(client.got(), "1 2");
        outbox.flush();
        outbox.flush();
        assert_eq!(client.got(), "1 2 flushed");
    }

    #[test]
    fn the_end_comes_after_what_is_left() {
        let client = Client::default();
        let outbox = client.open();
        outbox.push(reply(1, 1));
        assert!(finish(outbox, None));
        assert_eq!(client.got(), "1 flushed closed");
        let outbox = client.open();
        outbox.push(reply(2, 1));
        let failure = RpcStatus::with_message(grpcio::RpcStatusCode::ABORTED, "failed".to_owned());
        assert!(finish(outbox, Some(failure)));
        assert_eq!(client.got(), "1 flushed closed 2 flushed failed");
    }

    #[test]
    fn a_stuck_client_fills_the_room_and_is_cut_off_in_the_end() {
        let client = Client::default();
        client.set(&client.is_stuck, true);
        let outbox = client.open();
        // The sender holds the first.
        for first in 0..=2 {
            assert_eq!(room(&outbox), Poll::Ready(Ok(())));
            outbox.push(reply(first, WAITING_BYTES_MAX / 2));
        }
        assert_eq!(room(&outbox), Poll::Pending);
        client.set(&client.is_stuck, false);
        assert_eq!(client.got(), "0 1 2");
        assert_eq!(room(&outbox), Poll::Ready(Ok(())));
        client.set(&client.is_stuck, true);
        outbox.push(reply(3, 1));
        assert!(!outbox.finish(None, Duration::from_millis(1), pending()));
        assert_eq!(client.got(), "0 1 2");
        assert_eq!(Arc::strong_count(&client.got), 1, "the sink is dropped");
    }

    /// A client that had more to read at the stream's end than it could within a second was cut
    /// off, and was not told that all went well.
    #[test]
    fn a_client_that_takes_one_reply_after_the_other_gets_the_end() {
        const REPLIES: u8 = 20;
        let patience = Duration::from_millis(300);
        let client = Client::default();
        client.set(&client.is_stuck, true);
        let outbox = client.open();
        (0..REPLIES).for_each(|first| outbox.push(reply(first, 1)));
        let began = Instant::now();
        let finishing = std::thread::spawn(move || outbox.finish(None, patience, pending()));
        while !finishing.is_finished() {
            std::thread::sleep(patience / 10);
            client.let_one_pass();
        }
        assert!(finishing.join().unwrap(), "it was told");
        assert!(began.elapsed() > patience, "{:?}", began.elapsed());
        let replies = (0..REPLIES).map(|first| first.to_string()).collect::<Vec<_>>();
        assert_eq!(client.got(), format!("{} flushed closed", replies.join(" ")));
    }

    #[test]
    fn a_client_whose_time_is_up_is_not_waited_for() {
        let client = Client::default();
        client.set(&client.is_stuck, true);
        let outbox = client.open();
        outbox.push(reply(1, 1));
        assert!(!outbox.finish(None, PATIENCE, ready(())));
        assert_eq!(client.got(), "");
        assert_eq!(Arc::strong_count(&client.got), 1, "the sink is dropped");
    }

    #[test]
    fn a_client_that_leaves_is_noticed_while_nothing_is_sent() {
        let client = Client::default();
        let outbox = client.open();
        client.set(&client.is_gone, true);
        assert_eq!(room(&outbox), Poll::Ready(Err(Gone)));
        let gone = outbox.poll_gone(&mut Context::from_waker(Waker::noop()));
        assert_eq!(gone, Poll::Ready(Gone));
        assert!(!finish(outbox, None));
        assert_eq!(client.got(), "");
    }
}
