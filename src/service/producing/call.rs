//! One batch in one call.
//!
//! The handler appends on the poll thread, which takes a lock for memory operations only, and parks
//! the reply; the flusher sends it once the level asked for is reached, which saves a lone caller a
//! wake-up. If the batch is to make its log first, another thread goes on.

use std::marker::PhantomData;
use std::sync::Arc;

use grpcio::UnarySink;

use super::order::{self, Appended, Dialect, Order, end_met, named};
use crate::log::{AppendError, Pending};
use crate::service::answer::send;
use crate::service::backend::Backend;
use crate::service::caller::Caller;
use crate::service::detach::detach;
use crate::service::guard::{Permit, Produce};
use crate::service::limits::CallSlot;
use crate::service::measured::Measured;
use crate::service::message::{Reply, Request};
use crate::service::reads::Read;
use crate::service::refusal::{OverLimit, Refusal};

/// What the reply waits for.
enum Outcome {
    Taken(Pending),
    /// The log did not end where it was expected to, which is told once that end is durable.
    NotAtEnd(Pending, AppendError),
}

/// How far a call came on the poll thread.
enum Begun {
    Appended(Outcome, CallSlot),
    /// The log is to be made first, which takes the disk.
    NoLog(Caller, CallSlot),
}

/// A call whose log is to be made.
struct Creating<D> {
    backend: Arc<Backend>,
    request: Request,
    measured: Measured,
    sink: UnarySink<Reply>,
    caller: Caller,
    slot: CallSlot,
    dialect: PhantomData<fn() -> D>,
}

pub(crate) fn handle<D: Dialect>(
    backend: &Arc<Backend>,
    measured: Measured,
    mut request: Request,
    sink: UnarySink<Reply>,
) {
    match begin::<D>(backend, &mut request) {
        Ok(Begun::Appended(outcome, slot)) => {
            answer::<D>(backend, (measured, sink), Ok((outcome, slot)));
        }
        Ok(Begun::NoLog(caller, slot)) => {
            let (own, dialect) = (Arc::clone(backend), PhantomData);
            let creating =
                Creating::<D> { backend: own, request, measured, sink, caller, slot, dialect };
            backend.desk.submit(Box::new(creating));
        }
        Err(refusal) => answer::<D>(backend, (measured, sink), Err(refusal)),
    }
}

fn begin<D: Dialect>(backend: &Backend, request: &mut Request) -> Result<Begun, Refusal> {
    let caller = Caller::take()?;
    let known = D::LOG.map(|log| backend.guard.permit::<Produce>(&caller, log)).transpose()?;
    let slot = backend.occupancy.call(caller.subject())?;
    let message = request.bytes();
    let order = D::order(message)?;
    let permit = match known {
        Some(permit) => permit,
        None => match backend.guard.permit(&caller, named(&order)?) {
            Err(Refusal::NoLog { .. }) if backend.creates_logs => {
                return Ok(Begun::NoLog(caller, slot));
            }
            permit => permit?,
        },
    };
    Ok(Begun::Appended(append(backend, &caller, &order, &permit)?, slot))
}

fn append(
    backend: &Backend,
    caller: &Caller,
    order: &Order<'_>,
    permit: &Permit<Produce>,
) -> Result<Outcome, Refusal> {
    order.check_records(permit, caller.subject(), &backend.limits())?;
    backend.rates.take(caller.subject(), order.payload.len())?;
    match order.append(permit, caller.subject(), None) {
        Ok(pending) => Ok(Outcome::Taken(pending)),
        Err(error) => match end_met(&error) {
            Some(end) => Ok(Outcome::NotAtEnd(permit.settled(end), error)),
            None => Err(error.into()),
        },
    }
}

/// Answers once the outcome is known.
fn answer<D: Dialect>(
    backend: &Arc<Backend>,
    (measured, sink): (Measured, UnarySink<Reply>),
    begun: Result<(Outcome, CallSlot), Refusal>,
) {
    let backend = Arc::clone(backend);
    detach(async move {
        let outcome = match begun {
            Ok((outcome, slot)) => {
                let known = outcome.known().await;
                // The call counts as answered before the answer can make the client call again.
                drop(slot);
                known
            }
            Err(refusal) => Err(refusal),
        };
        let outcome = outcome.map(|appended| D::reply(&appended));
        // A client that is gone has no use for the answer; the records are there all the same.
        let _sent = send(&backend, (measured, sink), outcome).await;
    });
}

impl<D: Dialect> Creating<D> {
    fn create_and_append(&mut self) -> Result<Outcome, Refusal> {
        // It may have waited for long, and its caller's rights may be gone since.
        let caller = self.backend.guard.readmit(&self.caller)?;
        let message = self.request.bytes();
        let order = D::order(message)?;
        let permit = order::permit(&self.backend, &caller, &order)?;
        append(&self.backend, &caller, &order, &permit)
    }
}

impl<D: Dialect> Read for Creating<D> {
    fn run(mut self: Box<Self>) {
        let outcome = self.create_and_append();
        let Self { backend, measured, sink, slot, .. } = *self;
        answer::<D>(&backend, (measured, sink), outcome.map(|outcome| (outcome, slot)));
    }

    fn refuse(self: Box<Self>, over: OverLimit) {
        answer::<D>(&self.backend, (self.measured, self.sink), Err(over.into()));
    }
}

impl Outcome {
    async fn known(self) -> Result<Appended, Refusal> {
        match self {
            Self::Taken(mut pending) => {
                let durability = (&mut pending).await?;
                Ok(Appended::of(&pending, durability))
            }
            Self::NotAtEnd(settled, error) => {
                settled.await?;
                Err(error.into())
            }
        }
    }
}
