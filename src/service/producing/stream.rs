//! A stream of batches: one reply per request, in order, each once the level asked for is reached.
//!
//! A thread per stream takes requests and appends them, as many as the window holds; the
//! acknowledger replies to the oldest once it is durable. The replies of one sync leave together.
//! Poll threads receive for the stream. A request that fails ends the stream after all earlier ones
//! are answered; the requests after it are not appended.

use std::cell::{OnceCell, RefCell};
use std::convert::Infallible;
use std::future::{Future as _, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_executor::block_on;
use futures_timer::Delay;
use futures_util::future::{Either, select};
use grpcio::{DuplexSink, RequestStream, RpcContext};

use super::acknowledging;
use super::order::{self, Dialect, Order, end_met};
use super::window::Window;
use crate::log::{AppendError, Pending, Predecessor, SequenceError};
use crate::service::backend::Backend;
use crate::service::caller::Caller;
use crate::service::detach::detach;
use crate::service::ending::{Ending, farewell};
use crate::service::guard::{Permit, Produce};
use crate::service::inbox::Inbox;
use crate::service::limits::StreamSlot;
use crate::service::measured::Measured;
use crate::service::message::{Reply, Request};
use crate::service::outbox::Outbox;
use crate::service::refusal::{BadRequest, Limited, OverLimit, Refusal, brief};
use crate::service::session::Session;

/// An open stream, on its way to its thread and there.
struct Producing {
    backend: Arc<Backend>,
    measured: Measured,
    requests: RequestStream<Request>,
    sink: DuplexSink<Reply>,
    terms: Terms,
}

/// What the stream was granted.
struct Terms {
    caller: Caller,
    /// The right to append to the log, once that is known.
    granted: OnceCell<Permit<Produce>>,
    session: RefCell<Session>,
    _slot: StreamSlot,
}

pub(crate) fn handle<D: Dialect>(
    backend: &Arc<Backend>,
    measured: Measured,
    ctx: &RpcContext<'_>,
    requests: RequestStream<Request>,
    sink: DuplexSink<Reply>,
) {
    let terms = match begin::<D>(backend, ctx) {
        Ok(terms) => terms,
        Err(refusal) => return refuse(backend, measured, (requests, sink), &refusal),
    };
    let own = Arc::clone(backend);
    let producing = Producing { backend: own, measured, requests, sink, terms };
    if let Err(unserved) = backend.crew.spawn("produce", producing, Producing::serve::<D>) {
        let over = OverLimit { limited: Limited::Threads, limit: 0, actual: 1 };
        let Producing { measured, requests, sink, .. } = unserved;
        refuse(backend, measured, (requests, sink), &over.into());
    }
}

fn begin<D: Dialect>(backend: &Backend, ctx: &RpcContext<'_>) -> Result<Terms, Refusal> {
    let caller = Caller::take()?;
    let known = D::LOG.map(|log| backend.guard.permit::<Produce>(&caller, log)).transpose()?;
    let slot = backend.stream_slot(&caller, ctx)?;
    let session = RefCell::new(backend.guard.open_without_log(&caller));
    let terms = Terms { caller, granted: OnceCell::new(), session, _slot: slot };
    if let Some(permit) = known {
        terms.grant(backend, permit);
    }
    Ok(terms)
}

impl Terms {
    /// The right to append what `order` asks for, which names the log the first time.
    fn permit(&self, backend: &Backend, order: &Order<'_>) -> Result<&Permit<Produce>, Refusal> {
        if let Some(permit) = self.granted.get() {
            let first = permit.log_name();
            if order.log.is_empty() || order.log == first {
                return Ok(permit);
            }
            let (first, other) = (first.to_owned(), brief(order.log));
            return Err(BadRequest::OtherLog { first, other }.into());
        }
        // The client may have taken its time to name the log.
        let caller = backend.guard.readmit(&self.caller)?;
        let permit = order::permit(backend, &caller, order)?;
        let permit = self.grant(backend, permit);
        // Other rules may have come while the log was made.
        match self.session.borrow().cut() {
            Some(cut) => Err(cut.into()),
            None => Ok(permit),
        }
    }

    fn grant(&self, backend: &Backend, permit: Permit<Produce>) -> &Permit<Produce> {
        self.session.replace(backend.guard.open(&self.caller, &permit));
        self.granted.get_or_init(|| permit)
    }

    fn poll_cut(&self, cx: &mut Context<'_>) -> Result<(), Ending> {
        match self.session.borrow().poll_cut(cx) {
            Poll::Ready(cut) => Err(cut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

fn refuse(
    backend: &Backend,
    measured: Measured,
    (requests, sink): (RequestStream<Request>, DuplexSink<Reply>),
    refusal: &Refusal,
) {
    let sent = sink.fail(backend.refuse(measured, refusal));
    detach(async move {
        // A client that is gone has no use for the reason.
        let _sent = sent.await;
        // Dropped any earlier it would cancel the call before the status is out.
        drop(requests);
    });
}

impl Producing {
    /// Serves the stream to its end, on its own thread.
    fn serve<D: Dialect>(self) {
        let Self { backend, measured, requests, mut sink, terms } = self;
        sink.enhance_batch(true);
        if let Some(headers) = measured.headers() {
            sink.set_headers(headers);
        }
        // Dropped any earlier than the status is out, the requests would cancel the call.
        let inbox = Inbox::open(requests, Request::held_bytes);
        let outbox = Outbox::open(sink, DuplexSink::fail);
        let window = Arc::new(Window::new(&backend.limits()));
        let acknowledged = acknowledging::start::<D>(&window, outbox, measured.messages());
        let (outbox, ending) = block_on(async {
            let reading = pin!(read::<D>(&backend, &terms, &window, &inbox));
            match select(reading, acknowledged).await {
                Either::Right((ended, _)) => ended.expect("the acknowledger says how it ended"),
            }
        });
        farewell(&backend, measured, outbox, ending, &terms.session.borrow());
    }
}

/// Reads and appends until there is a reason not to, which it leaves in the window.
async fn read<D: Dialect>(
    backend: &Backend,
    terms: &Terms,
    window: &Window,
    inbox: &Inbox<Request>,
) -> Infallible {
    let Err(ending) = read_all::<D>(backend, terms, window, inbox).await;
    window.end(ending);
    let cut = poll_fn(|cx| terms.session.borrow().poll_cut(cx)).await;
    window.cut(cut.into());
    // The acknowledger ends the stream when all that is in flight is answered.
    pending().await
}

async fn read_all<D: Dialect>(
    backend: &Backend,
    terms: &Terms,
    window: &Window,
    inbox: &Inbox<Request>,
) -> Result<Infallible, Ending> {
    let mut before = None;
    loop {
        let mut request = poll_fn(|cx| {
            terms.poll_cut(cx)?;
            ready!(window.poll_room(cx));
            Poll::Ready(ready!(inbox.poll_next(cx)).map_err(Ending::from))
        })
        .await?;
        let began = Instant::now();
        let message = request.bytes();
        let order = D::order(message).map_err(Refusal::from)?;
        let permit = terms.permit(backend, &order)?;
        let checked = order.check_records(permit, terms.caller.subject(), &backend.limits());
        checked.map_err(Refusal::from)?;
        wait_for_rate(backend, terms, order.payload.len()).await?;
        let appended = append_when_there_is_room(terms, permit, &order, before.as_ref()).await?;
        before = Some(appended.behind(before));
        window.push(appended, order.payload.len(), began);
    }
}

/// Waits until the stream's subject may append a batch of `bytes`. Meanwhile nothing is read, which
/// the client feels as flow control.
async fn wait_for_rate(backend: &Backend, terms: &Terms, bytes: usize) -> Result<(), Ending> {
    let wait = backend.rates.reserve(terms.caller.subject(), bytes);
    if wait.is_zero() {
        return Ok(());
    }
    let mut passed = Delay::new(wait);
    poll_fn(|cx| {
        terms.poll_cut(cx)?;
        Pin::new(&mut passed).poll(cx).map(Ok)
    })
    .await
}

/// Appends, and as long as too much waits for the disk tries again when some of it is done.
async fn append_when_there_is_room(
    terms: &Terms,
    permit: &Permit<Produce>,
    order: &Order<'_>,
    before: Option<&Predecessor>,
) -> Result<Pending, Ending> {
    loop {
        let (end, reviews) = (permit.durable_end(), terms.session.borrow().reviews());
        match order.append(permit, terms.caller.subject(), before) {
            Ok(pending) => return Ok(pending),
            Err(AppendError::Busy { .. } | AppendError::Sequence(SequenceError::Busy { .. })) => {}
            Err(error) => return Err(refused(terms, permit, error).await),
        }
        let mut past = permit.durable_past(end);
        poll_fn(|cx| {
            terms.poll_cut(cx)?;
            // What waited can also have gone without becoming durable; so look now and then.
            if terms.session.borrow().poll_review(cx, reviews).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let moved = ready!(Pin::new(&mut past).poll(cx));
            Poll::Ready(moved.map(drop).map_err(|stopped| Ending::from(Refusal::from(stopped))))
        })
        .await?;
    }
}

/// How the stream ends for an append that was not taken. Where the log ends is told once that is
/// durable.
async fn refused(terms: &Terms, permit: &Permit<Produce>, error: AppendError) -> Ending {
    if let Some(end) = end_met(&error) {
        let mut settled = permit.settled(end);
        let known = poll_fn(|cx| {
            terms.poll_cut(cx)?;
            let known = ready!(Pin::new(&mut settled).poll(cx));
            Poll::Ready(known.map_err(|lost| Ending::from(Refusal::from(lost))))
        });
        if let Err(ending) = known.await {
            return ending;
        }
    }
    Refusal::from(error).into()
}
