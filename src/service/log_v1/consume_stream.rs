//! `ConsumeStream`: records from an offset on, and at the tail whatever is appended.
//!
//! A thread per stream, which blocks on the disk and, at the tail, on the first of: a record, the
//! client's leaving, a cut. While it waits it costs no CPU. Replies are given to the transport with
//! the hint that more will follow, and pushed out when there is nothing to follow.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_executor::block_on;
use grpcio::{RpcContext, ServerStreamingSink};

use super::{LOG, fetch, messages};
use crate::log::Offset;
use crate::service::backend::Backend;
use crate::service::caller::Caller;
use crate::service::detach::detach;
use crate::service::ending::{Ending, farewell};
use crate::service::guard::{Consume, Permit};
use crate::service::limits::StreamSlot;
use crate::service::message::{Reply, Request};
use crate::service::outbox::Outbox;
use crate::service::refusal::{Limited, OutOfRange, OverLimit, Refusal};
use crate::service::session::Session;

/// How much is read from a log in one go, unless one batch is larger.
const CHUNK_BYTES: usize = 256 * 1024;

/// An open stream, on its way to its thread and there.
struct Consuming {
    backend: Arc<Backend>,
    sink: ServerStreamingSink<Reply>,
    terms: Terms,
}

/// What the stream was granted.
struct Terms {
    permit: Permit<Consume>,
    session: Session,
    /// The offset to send next.
    next: Offset,
    _slot: StreamSlot,
}

pub(super) fn handle(
    backend: &Arc<Backend>,
    ctx: &RpcContext<'_>,
    mut request: Request,
    sink: ServerStreamingSink<Reply>,
) {
    let terms = match begin(backend, ctx, &mut request) {
        Ok(terms) => terms,
        Err(refusal) => return refuse(backend, sink, &refusal),
    };
    let consuming = Consuming { backend: Arc::clone(backend), sink, terms };
    if let Err(unserved) = backend.crew.spawn("consume", consuming, Consuming::serve) {
        let over = OverLimit { limited: Limited::Threads, limit: 0, actual: 1 };
        refuse(backend, unserved.sink, &over.into());
    }
}

fn begin(backend: &Backend, ctx: &RpcContext<'_>, request: &mut Request) -> Result<Terms, Refusal> {
    let caller = Caller::take()?;
    let permit = backend.guard.permit::<Consume>(&caller, LOG)?;
    let slot = backend.stream_slot(&caller, ctx)?;
    let next = messages::consume_request(&request.bytes())?;
    let bounds = permit.bounds();
    // The end itself is where the next record will be.
    if next < bounds.start || next > bounds.end {
        return Err(OutOfRange::new(next, bounds).into());
    }
    let session = backend.guard.open(&caller, &permit);
    Ok(Terms { permit, session, next, _slot: slot })
}

fn refuse(backend: &Backend, sink: ServerStreamingSink<Reply>, refusal: &Refusal) {
    let sent = sink.fail(backend.status(refusal));
    detach(async move {
        // A client that is gone has no use for the reason.
        let _sent = sent.await;
    });
}

impl Consuming {
    /// Serves the stream to its end, on its own thread.
    fn serve(self) {
        let Self { backend, mut sink, mut terms } = self;
        sink.enhance_batch(true);
        let outbox = Outbox::open(sink, ServerStreamingSink::fail);
        let Err(ending) = block_on(terms.send_all(&outbox));
        farewell(&backend, outbox, ending);
    }
}

impl Terms {
    async fn send_all(&mut self, outbox: &Outbox) -> Result<Infallible, Ending> {
        loop {
            if self.next == self.permit.bounds().end {
                self.wait_for_more(outbox).await?;
            }
            let chunk = self.permit.read(self.next, CHUNK_BYTES).map_err(Refusal::from)?;
            for reply in fetch::replies(&chunk, self.next) {
                let reply = reply?;
                poll_fn(|cx| {
                    self.poll_cut(cx)?;
                    outbox.poll_room(cx).map_err(Ending::from)
                })
                .await?;
                outbox.push(reply);
            }
            self.next = chunk.next_offset();
        }
    }

    /// Waits at the tail, with all replies on their way.
    async fn wait_for_more(&self, outbox: &Outbox) -> Result<(), Ending> {
        outbox.flush();
        let mut past = self.permit.past(self.next);
        poll_fn(|cx| {
            self.poll_cut(cx)?;
            if let Poll::Ready(gone) = outbox.poll_gone(cx) {
                return Poll::Ready(Err(gone.into()));
            }
            let end = ready!(Pin::new(&mut past).poll(cx));
            Poll::Ready(end.map(drop).map_err(|stopped| Refusal::from(stopped).into()))
        })
        .await
    }

    fn poll_cut(&self, cx: &mut Context<'_>) -> Result<(), Ending> {
        match self.session.poll_cut(cx) {
            Poll::Ready(cut) => Err(cut.into()),
            Poll::Pending => Ok(()),
        }
    }
}
