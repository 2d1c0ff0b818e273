//! Records from a place on, and at the end of the log whatever is appended.
//!
//! A thread per stream, which blocks on the disk and, at the end, on the first of: a record, the
//! time for a heartbeat, the client's leaving, a cut. While it waits it costs no CPU. Replies are
//! given to the transport with the hint that more will follow, and pushed out when there is nothing
//! to follow.

use std::convert::Infallible;
use std::future::{Future as _, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_timer::Delay;
use grpcio::{RpcContext, ServerStreamingSink};

use super::ask::Dialect;
use super::call::named;
use super::reading::{Found, Reading};
use crate::log::Chunk;
use crate::service::backend::Backend;
use crate::service::caller::Caller;
use crate::service::detach::detach;
use crate::service::ending::{Ending, farewell};
use crate::service::guard::Consume;
use crate::service::limits::StreamSlot;
use crate::service::measured::Measured;
use crate::service::message::{Reply, Request};
use crate::service::outbox::Outbox;
use crate::service::refusal::{Limited, OverLimit, Refusal};
use crate::service::session::Session;

/// How much is read from a log in one go, unless one batch is larger.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;

/// An open stream, on its way to its thread and there.
struct Consuming {
    backend: Arc<Backend>,
    measured: Measured,
    sink: ServerStreamingSink<Reply>,
    terms: Terms,
}

/// What the stream was granted, and how far it is.
struct Terms {
    reading: Reading,
    session: Session,
    /// When a record was last found, or the stream began.
    found: Instant,
    /// When anything was last said, if it was.
    said: Option<Instant>,
    _slot: StreamSlot,
}

pub(crate) fn handle<D: Dialect>(
    backend: &Arc<Backend>,
    measured: Measured,
    ctx: &RpcContext<'_>,
    mut request: Request,
    sink: ServerStreamingSink<Reply>,
) {
    let terms = match begin::<D>(backend, ctx, &mut request) {
        Ok(terms) => terms,
        Err(refusal) => return refuse(backend, measured, sink, &refusal),
    };
    let consuming = Consuming { backend: Arc::clone(backend), measured, sink, terms };
    if let Err(unserved) = backend.crew.spawn("consume", consuming, Consuming::serve::<D>) {
        let over = OverLimit { limited: Limited::Threads, limit: 0, actual: 1 };
        refuse(backend, unserved.measured, unserved.sink, &over.into());
    }
}

fn begin<D: Dialect>(
    backend: &Backend,
    ctx: &RpcContext<'_>,
    request: &mut Request,
) -> Result<Terms, Refusal> {
    let caller = Caller::take()?;
    let known = D::LOG.map(|log| backend.guard.permit::<Consume>(&caller, log)).transpose()?;
    let slot = backend.stream_slot(&caller, ctx)?;
    let ask = D::ask(request.bytes())?;
    let permit = match known {
        Some(permit) => permit,
        None => backend.guard.permit(&caller, named(&ask)?)?,
    };
    let session = backend.guard.open(&caller, &permit);
    let scope = backend.guard.reader_scope(&caller, &permit);
    let reading = Reading::new(permit, scope, ask)?;
    Ok(Terms { reading, session, found: Instant::now(), said: None, _slot: slot })
}

fn refuse(
    backend: &Backend,
    measured: Measured,
    sink: ServerStreamingSink<Reply>,
    refusal: &Refusal,
) {
    let sent = sink.fail(backend.refuse(measured, refusal));
    detach(async move {
        // A client that is gone has no use for the reason.
        let _sent = sent.await;
    });
}

impl Consuming {
    /// Serves the stream to its end, on its own thread.
    fn serve<D: Dialect>(self) {
        let Self { backend, measured, mut sink, mut terms } = self;
        sink.enhance_batch(true);
        if let Some(headers) = measured.headers() {
            sink.set_headers(headers);
        }
        let outbox = Outbox::open(sink, ServerStreamingSink::fail);
        let Err(ending) = block_on(terms.send_all::<D>(&backend, &measured, &outbox));
        farewell(&backend, measured, outbox, ending, &terms.session);
    }
}

impl Terms {
    async fn send_all<D: Dialect>(
        &mut self,
        backend: &Backend,
        measured: &Measured,
        outbox: &Outbox,
    ) -> Result<Infallible, Ending> {
        let messages = measured.messages();
        while !self.reading.is_done() {
            let began = Instant::now();
            match self.reading.look(CHUNK_BYTES)? {
                Found::Records(chunk) => {
                    messages.took(began.elapsed());
                    let sent = self.send_chunk::<D>(&chunk, outbox).await?;
                    backend.calls.consumed(sent);
                }
                Found::Gap(gap) => {
                    if let Some(reply) = D::gap(&gap, &self.reading.standing()) {
                        self.send(reply, outbox).await?;
                    }
                }
                Found::End => self.wait_for_more::<D>(outbox).await?,
            }
        }
        Err(Ending::Done)
    }

    /// Sends what of `chunk` is wanted, and returns how many bytes of replies that took.
    async fn send_chunk<D: Dialect>(
        &mut self,
        chunk: &Chunk,
        outbox: &Outbox,
    ) -> Result<usize, Ending> {
        let mut sent = 0;
        for reply in D::replies(self.reading.part(chunk)) {
            let reply = reply?;
            sent += reply.len();
            self.send(reply, outbox).await?;
        }
        self.reading.passed(chunk);
        self.found = Instant::now();
        self.said = Some(self.found);
        Ok(sent)
    }

    /// Puts a reply into the outbox once it has room.
    async fn send(&self, reply: Reply, outbox: &Outbox) -> Result<(), Ending> {
        poll_fn(|cx| {
            self.poll_cut(cx)?;
            outbox.poll_room(cx).map_err(Ending::from)
        })
        .await?;
        outbox.push(reply);
        Ok(())
    }

    /// Waits at the end of the log, with all replies on their way.
    async fn wait_for_more<D: Dialect>(&mut self, outbox: &Outbox) -> Result<(), Ending> {
        if self.said.is_none() {
            self.say_nothing::<D>(outbox)?;
        }
        outbox.flush();
        while !self.more_in_time(outbox).await? {
            if self.patience_left() == Some(Duration::ZERO) {
                return Err(Ending::Done);
            }
            self.say_nothing::<D>(outbox)?;
            outbox.flush();
        }
        Ok(())
    }

    /// Sends a heartbeat, unless the client does not even take what is there already.
    fn say_nothing<D: Dialect>(&mut self, outbox: &Outbox) -> Result<(), Ending> {
        self.said = Some(Instant::now());
        let next = self.reading.locate()?;
        match D::nothing(next, &self.reading.standing()) {
            Some(reply) if outbox.has_room()? => outbox.push(reply),
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Whether there is something before it is time to say that there is nothing.
    async fn more_in_time(&self, outbox: &Outbox) -> Result<bool, Ending> {
        let mut more = self.reading.more();
        let mut silence_ends = pin!(self.silence_ends());
        poll_fn(|cx| {
            self.poll_cut(cx)?;
            if let Poll::Ready(gone) = outbox.poll_gone(cx) {
                return Poll::Ready(Err(gone.into()));
            }
            if let Poll::Ready(end) = Pin::new(&mut more).poll(cx) {
                let found = end.map(|_| true);
                return Poll::Ready(found.map_err(|stopped| Refusal::from(stopped).into()));
            }
            silence_ends.as_mut().poll(cx).map(|()| Ok(false))
        })
        .await
    }

    /// Resolves when a heartbeat is due or patience ends.
    async fn silence_ends(&self) {
        let heartbeat = self.reading.ask().heartbeat.map(|every| {
            every.saturating_sub(self.said.map_or(Duration::ZERO, |said| said.elapsed()))
        });
        match heartbeat.into_iter().chain(self.patience_left()).min() {
            Some(left) => Delay::new(left).await,
            None => pending().await,
        }
    }

    /// How long the client waits for a record from now on; `None` if for ever.
    fn patience_left(&self) -> Option<Duration> {
        self.reading.ask().wait.map(|wait| wait.saturating_sub(self.found.elapsed()))
    }

    fn poll_cut(&self, cx: &mut Context<'_>) -> Result<(), Ending> {
        match self.session.poll_cut(cx) {
            Poll::Ready(cut) => Err(cut.into()),
            Poll::Pending => Ok(()),
        }
    }
}
