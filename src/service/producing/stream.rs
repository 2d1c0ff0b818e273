//! `ProduceStream`: a record per request, one reply per request, in order, each once its record is
//! on disk.
//!
//! A thread per stream drives two loops. One takes requests and appends them, as many as the window
//! holds; the other waits for the oldest to be durable and replies. The replies of one sync leave
//! together. Poll threads receive and send for it, so that neither costs it a wake-up each. A
//! request that fails ends the stream after all earlier ones are answered; the requests after it
//! are not appended.

use std::convert::Infallible;
use std::future::{Future as _, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_executor::block_on;
use futures_util::future::{Either, select};
use grpcio::{DuplexSink, RequestStream, RpcContext};

use super::ending::{Ending, farewell};
use super::window::{Next, Window};
use super::{LOG, append, messages};
use crate::log::{AppendError, Pending};
use crate::service::backend::Backend;
use crate::service::caller::Caller;
use crate::service::detach::detach;
use crate::service::guard::{Permit, Produce};
use crate::service::inbox::Inbox;
use crate::service::limits::StreamSlot;
use crate::service::message::{Reply, Request};
use crate::service::outbox::Outbox;
use crate::service::refusal::{Limited, OverLimit, Refusal};
use crate::service::session::Session;

/// An open stream, on its way to its thread and there.
struct Producing {
    backend: Arc<Backend>,
    requests: RequestStream<Request>,
    sink: DuplexSink<Reply>,
    terms: Terms,
}

/// What the stream was granted.
struct Terms {
    permit: Permit<Produce>,
    session: Session,
    _slot: StreamSlot,
}

pub(super) fn handle(
    backend: &Arc<Backend>,
    ctx: &RpcContext<'_>,
    requests: RequestStream<Request>,
    sink: DuplexSink<Reply>,
) {
    let terms = match begin(backend, ctx) {
        Ok(terms) => terms,
        Err(refusal) => return refuse(backend, requests, sink, &refusal),
    };
    let producing = Producing { backend: Arc::clone(backend), requests, sink, terms };
    if let Err(unserved) = backend.crew.spawn("produce", producing, Producing::serve) {
        let over = OverLimit { limited: Limited::Threads, limit: 0, actual: 1 };
        refuse(backend, unserved.requests, unserved.sink, &over.into());
    }
}

fn begin(backend: &Backend, ctx: &RpcContext<'_>) -> Result<Terms, Refusal> {
    let caller = Caller::take()?;
    let permit = backend.guard.permit::<Produce>(&caller, LOG)?;
    let slot = backend.stream_slot(&caller, ctx)?;
    let session = backend.guard.open(&caller, &permit);
    Ok(Terms { permit, session, _slot: slot })
}

fn refuse(
    backend: &Backend,
    requests: RequestStream<Request>,
    sink: DuplexSink<Reply>,
    refusal: &Refusal,
) {
    let sent = sink.fail(backend.status(refusal));
    detach(async move {
        // A client that is gone has no use for the reason.
        let _sent = sent.await;
        // Dropped any earlier it would cancel the call before the status is out.
        drop(requests);
    });
}

impl Producing {
    /// Serves the stream to its end, on its own thread.
    fn serve(self) {
        let Self { backend, requests, mut sink, terms } = self;
        sink.enhance_batch(true);
        // Dropped any earlier than the status is out, the requests would cancel the call.
        let inbox = Inbox::open(requests, Request::len);
        let outbox = Outbox::open(sink, DuplexSink::fail);
        let window = Window::new(backend.limits());
        let ending = block_on(async {
            let reading = pin!(read(&backend, &terms, &window, &inbox));
            let acknowledging = pin!(acknowledge(&window, &outbox));
            match select(reading, acknowledging).await {
                Either::Right((ending, _)) => ending,
            }
        });
        farewell(&backend, outbox, ending);
    }
}

/// Reads and appends until there is a reason not to, which it leaves in the window.
async fn read(
    backend: &Backend,
    terms: &Terms,
    window: &Window,
    inbox: &Inbox<Request>,
) -> Infallible {
    let Err(ending) = read_all(backend, terms, window, inbox).await;
    window.end(ending);
    // The other loop ends the stream when all that is in flight is answered.
    pending().await
}

async fn read_all(
    backend: &Backend,
    terms: &Terms,
    window: &Window,
    inbox: &Inbox<Request>,
) -> Result<Infallible, Ending> {
    loop {
        let mut request = poll_fn(|cx| {
            poll_cut(&terms.session, cx)?;
            ready!(window.poll_room(cx));
            Poll::Ready(ready!(inbox.poll_next(cx)).map_err(Ending::from))
        })
        .await?;
        let payload = append::payload(&mut request, backend.limits())?;
        let appended = append_when_there_is_room(terms, &payload).await?;
        window.push(appended, payload.len());
    }
}

/// Appends, and as long as too much waits for the disk tries again when some of it is done.
async fn append_when_there_is_room(terms: &Terms, payload: &[u8]) -> Result<Pending, Ending> {
    loop {
        let (end, reviews) = (terms.permit.durable_end(), terms.session.reviews());
        match append::append(&terms.permit, payload) {
            Ok(pending) => return Ok(pending),
            Err(AppendError::Busy { .. }) => {}
            Err(error) => return Err(Refusal::from(error).into()),
        }
        let mut past = terms.permit.durable_past(end);
        poll_fn(|cx| {
            poll_cut(&terms.session, cx)?;
            // What waited can also have gone without becoming durable; so look now and then.
            if terms.session.poll_review(cx, reviews).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let moved = ready!(Pin::new(&mut past).poll(cx));
            Poll::Ready(moved.map(drop).map_err(|stopped| Ending::from(Refusal::from(stopped))))
        })
        .await?;
    }
}

/// Replies to the batches of the window in their order, and returns how the stream ends.
async fn acknowledge(window: &Window, outbox: &Outbox) -> Ending {
    let Err(ending) = acknowledge_all(window, outbox).await;
    ending
}

async fn acknowledge_all(window: &Window, outbox: &Outbox) -> Result<Infallible, Ending> {
    loop {
        let next = poll_fn(|cx| {
            ready!(outbox.poll_room(cx))?;
            if let Poll::Ready(next) = window.poll_next(cx) {
                return Poll::Ready(Ok(next));
            }
            // Nothing more to say for now: what was said goes out.
            outbox.flush();
            outbox.poll_gone(cx).map(Err)
        })
        .await?;
        match next {
            Next::Acknowledged(offset) => outbox.push(messages::produce_response(offset)),
            Next::Lost(error) => return Err(Refusal::from(error).into()),
            Next::Ended(ending) => return Err(ending),
        }
    }
}

fn poll_cut(session: &Session, cx: &mut Context<'_>) -> Result<(), Ending> {
    match session.poll_cut(cx) {
        Poll::Ready(cut) => Err(cut.into()),
        Poll::Pending => Ok(()),
    }
}
