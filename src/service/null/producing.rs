//! Taking batches: offsets at once, and the reply when the file is synced, if there is one.

use std::collections::VecDeque;
use std::future::{Future as _, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_executor::block_on;
use grpcio::{DuplexSink, RequestStream, RpcStatus, RpcStatusCode, UnarySink};

use super::{FAREWELL, Null, Taken, refusal};
use crate::service::detach::detach;
use crate::service::inbox::{Inbox, Last};
use crate::service::message::{Reply, Request};
use crate::service::outbox::Outbox;
use crate::service::producing::Dialect as _;
use crate::service::varve_v1::Batches;

/// Batches of one stream that wait for the file.
const WAITING_MAX: usize = 1024;
const NOT_WRITTEN: &str = "the null server could not write the batch";

/// An open stream, on its way to its thread and there.
struct Stream {
    null: Arc<Null>,
    requests: RequestStream<Request>,
    sink: DuplexSink<Reply>,
}

/// The ends of a stream on its thread.
struct Open<'a> {
    null: &'a Null,
    inbox: &'a Inbox<Request>,
    outbox: &'a Outbox,
    /// The client sends no more.
    is_last: bool,
}

/// How a stream goes on.
enum Step {
    Took(Result<Taken, RpcStatus>),
    Replied(Result<Reply, RpcStatus>),
    Last(Last),
    Gone,
}

pub(super) fn call(null: &Null, mut request: Request, sink: UnarySink<Reply>) {
    let taken = take(null, &mut request);
    detach(async move {
        let outcome = match taken {
            Ok(Taken { appended, spooled: None }) => Ok(appended),
            Ok(Taken { appended, spooled: Some(spooled) }) => match spooled.await {
                Ok(()) => Ok(appended),
                Err(_lost) => Err(refusal(RpcStatusCode::INTERNAL, NOT_WRITTEN)),
            },
            Err(status) => Err(status),
        };
        let sent = match outcome {
            Ok(appended) => sink.success(Batches::reply(&appended)),
            Err(status) => sink.fail(status),
        };
        // A client that is gone has no use for the answer.
        let _sent = sent.await;
    });
}

pub(super) fn stream(null: &Arc<Null>, requests: RequestStream<Request>, sink: DuplexSink<Reply>) {
    let stream = Stream { null: Arc::clone(null), requests, sink };
    // Without a thread the client sees the call cancelled.
    let _started = null.crew.spawn("produce", stream, Stream::serve);
}

fn take(null: &Null, request: &mut Request) -> Result<Taken, RpcStatus> {
    let message = request.bytes();
    let invalid = |error| refusal(RpcStatusCode::INVALID_ARGUMENT, error);
    let order = Batches::order(message).map_err(invalid)?;
    null.limits.admit_record(order.largest_record, None).map_err(invalid)?;
    Ok(null.take(&order))
}

impl Stream {
    fn serve(self) {
        let Self { null, requests, mut sink } = self;
        sink.enhance_batch(true);
        let inbox = Inbox::open(requests, Request::held_bytes);
        let outbox = Outbox::open(sink, DuplexSink::fail);
        let mut open = Open { null: &null, inbox: &inbox, outbox: &outbox, is_last: false };
        let mut waiting = VecDeque::new();
        let failure = loop {
            match block_on(poll_fn(|cx| step(cx, &open, &mut waiting))) {
                Step::Took(Ok(taken)) => waiting.push_back(taken),
                Step::Replied(Ok(reply)) => outbox.push(reply),
                Step::Took(Err(status)) | Step::Replied(Err(status)) => break Some(status),
                Step::Last(Last::Done) => open.is_last = true,
                Step::Last(Last::Gone) | Step::Gone => return,
            }
            if open.is_last && waiting.is_empty() {
                break None;
            }
        };
        let _told = outbox.finish(failure, FAREWELL, pending());
    }
}

/// Replies to what is written, then takes what has come, then waits.
fn step(cx: &mut Context<'_>, stream: &Open<'_>, waiting: &mut VecDeque<Taken>) -> Poll<Step> {
    match stream.outbox.poll_room(cx) {
        Poll::Ready(Err(_gone)) => return Poll::Ready(Step::Gone),
        Poll::Pending => return Poll::Pending,
        Poll::Ready(Ok(())) => {}
    }
    if let Some(written) = waiting.front_mut().and_then(|front| front.poll_written(cx)) {
        waiting.pop_front();
        return Poll::Ready(Step::Replied(written));
    }
    if !stream.is_last && waiting.len() < WAITING_MAX {
        match stream.inbox.poll_next(cx) {
            Poll::Ready(Ok(mut request)) => {
                return Poll::Ready(Step::Took(take(stream.null, &mut request)));
            }
            Poll::Ready(Err(last)) => return Poll::Ready(Step::Last(last)),
            Poll::Pending => {}
        }
    }
    // Nothing more to say for now: what was said goes out.
    stream.outbox.flush();
    stream.outbox.poll_gone(cx).map(|_gone| Step::Gone)
}

impl Taken {
    /// The reply once the batch is written, and `None` before.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Option<Result<Reply, RpcStatus>> {
        let written = match &mut self.spooled {
            None => Ok(()),
            Some(spooled) => match Pin::new(spooled).poll(cx) {
                Poll::Ready(written) => written,
                Poll::Pending => return None,
            },
        };
        let lost = |_| refusal(RpcStatusCode::INTERNAL, NOT_WRITTEN);
        Some(written.map(|()| Batches::reply(&self.appended)).map_err(lost))
    }
}
