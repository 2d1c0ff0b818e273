//! One read in one call.
//!
//! A reading thread looks; where there is nothing yet the call is parked, which costs no thread,
//! until there is, or its patience ends. The binding does not tell that the client of a unary call
//! left, but when its deadline was: a call that is parked ends soon after that.

use std::future::{Future as _, poll_fn};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_timer::Delay;
use grpcio::{Deadline, RpcContext, UnarySink};

use super::ask::{Ask, Dialect};
use super::reading::{Found, Reading};
use crate::service::answer::answer;
use crate::service::backend::Backend;
use crate::service::caller::Caller;
use crate::service::detach::detach;
use crate::service::guard::Consume;
use crate::service::limits::CallSlot;
use crate::service::measured::Measured;
use crate::service::message::{Reply, Request};
use crate::service::reads::Read;
use crate::service::refusal::{BadRequest, OutOfRange, OverLimit, Refusal};
use crate::service::session::Session;

/// The longest that a call waits.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A call on its way to its answer.
struct Call<D> {
    backend: Arc<Backend>,
    measured: Measured,
    sink: UnarySink<Reply>,
    reading: Reading,
    /// `None` if it does not wait.
    waits: Option<Waits>,
    slot: CallSlot,
    dialect: PhantomData<fn() -> D>,
}

/// How a call waits for a record.
struct Waits {
    /// When its patience ends.
    until: Instant,
    /// When nobody waits for its answer any more.
    deadline: Deadline,
    /// What may cut it short.
    session: Session,
}

pub(crate) fn handle<D: Dialect>(
    backend: &Arc<Backend>,
    measured: Measured,
    ctx: &RpcContext<'_>,
    mut request: Request,
    sink: UnarySink<Reply>,
) {
    let (reading, waits, slot) = match begin::<D>(backend, ctx, &mut request) {
        Ok(begun) => begun,
        Err(refusal) => return answer(backend, (measured, sink), Err(refusal)),
    };
    let backend = Arc::clone(backend);
    let dialect = PhantomData;
    let call = Box::new(Call::<D> { backend, measured, sink, reading, waits, slot, dialect });
    if call.reading.needs_disk() { call.submit() } else { call.run() }
}

type Begun = (Reading, Option<Waits>, CallSlot);

fn begin<D: Dialect>(
    backend: &Backend,
    ctx: &RpcContext<'_>,
    request: &mut Request,
) -> Result<Begun, Refusal> {
    let caller = Caller::take()?;
    let known = D::LOG.map(|log| backend.guard.permit::<Consume>(&caller, log)).transpose()?;
    let slot = backend.occupancy.call(caller.subject())?;
    let ask = D::ask(request.bytes())?;
    let permit = match known {
        Some(permit) => permit,
        None => backend.guard.permit(&caller, named(&ask)?)?,
    };
    if let Some(wait) = ask.wait.filter(|wait| *wait > WAIT_MAX) {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (value, max) = (ms(wait), ms(WAIT_MAX));
        return Err(BadRequest::OutOfBounds { field: "max_wait_ms", value, min: 0, max }.into());
    }
    let waits = ask.wait.map(|wait| Waits {
        until: Instant::now() + wait,
        deadline: ctx.deadline(),
        session: backend.guard.open(&caller, &permit),
    });
    let scope = backend.guard.reader_scope(&caller, &permit);
    Ok((Reading::new(permit, scope, ask)?, waits, slot))
}

/// The name of the log, where a request must name one.
pub(super) fn named(ask: &Ask) -> Result<&str, Refusal> {
    if ask.log.is_empty() { Err(BadRequest::NoLog.into()) } else { Ok(&ask.log) }
}

impl<D: Dialect> Call<D> {
    fn submit(self: Box<Self>) {
        let backend = Arc::clone(&self.backend);
        backend.reads.submit(self);
    }

    /// The reply to what was found; `None` if that is nothing.
    fn reply(&self, found: &Found) -> Result<Option<Reply>, Refusal> {
        match found {
            Found::Records(chunk) => {
                let part = self.reading.part(chunk);
                // A read's first batch holds the offset.
                let unreadable = Refusal::Unreadable { base_offset: part.from };
                let reply = D::replies(part).next().unwrap_or(Err(unreadable))?;
                self.backend.calls.consumed(reply.len());
                Ok(Some(reply))
            }
            Found::Gap(gap) => Ok(D::gap(gap, &self.reading.standing())),
            Found::End => Ok(None),
        }
    }

    fn answer(self: Box<Self>, outcome: Result<Reply, Refusal>) {
        let Self { backend, measured, sink, slot, .. } = *self;
        // The call counts as answered before the answer can make the client call again.
        drop(slot);
        answer(&backend, (measured, sink), outcome);
    }

    /// Says that there is nothing.
    fn answer_nothing(mut self: Box<Self>) {
        let standing = self.reading.standing();
        let outcome = self.reading.locate().and_then(|next| {
            D::nothing(next, &standing).ok_or(OutOfRange::new(next, standing.bounds).into())
        });
        self.answer(outcome);
    }

    /// Waits for a record without a thread.
    fn park(mut self: Box<Self>) {
        if let Err(over) = self.slot.wait() {
            return self.answer(Err(over.into()));
        }
        detach(async move {
            let mut call = self;
            let began = Instant::now();
            let waited = call.wait().await;
            call.measured.waited(began.elapsed());
            match waited {
                Ok(true) => call.submit(),
                Ok(false) => call.answer_nothing(),
                Err(refusal) => call.answer(Err(refusal)),
            }
        });
    }

    /// Whether there is something before patience ends.
    async fn wait(&mut self) -> Result<bool, Refusal> {
        let Some(Waits { until, deadline, session }) = &self.waits else {
            return Ok(false);
        };
        let mut more = self.reading.more();
        let mut delay = pin!(Delay::new(until.saturating_duration_since(Instant::now())));
        let mut reviews = session.reviews();
        poll_fn(|cx| {
            if let Poll::Ready(cut) = session.poll_cut(cx) {
                return Poll::Ready(Err(cut.into()));
            }
            if let Poll::Ready(end) = Pin::new(&mut more).poll(cx) {
                return Poll::Ready(end.map(|_| true).map_err(Refusal::from));
            }
            while session.poll_review(cx, reviews).is_ready() {
                reviews = session.reviews();
                // A client for which the clock made that too early gets a true answer all the same.
                if deadline.exceeded() {
                    return Poll::Ready(Ok(false));
                }
            }
            delay.as_mut().poll(cx).map(|()| Ok(false))
        })
        .await
    }
}

impl<D: Dialect> Read for Call<D> {
    fn run(mut self: Box<Self>) {
        match self.reading.look(D::CALL_BYTES).and_then(|found| self.reply(&found)) {
            Ok(Some(reply)) => self.answer(Ok(reply)),
            Ok(None) if self.waits.is_some() => self.park(),
            Ok(None) => self.answer_nothing(),
            Err(refusal) => self.answer(Err(refusal)),
        }
    }

    fn refuse(self: Box<Self>, over: OverLimit) {
        self.answer(Err(over.into()));
    }
}
