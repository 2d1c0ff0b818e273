//! One batch in one call.
//!
//! The handler appends on the poll thread, which takes a lock for memory operations only, and parks
//! the reply; the flusher sends it once the level asked for is reached, which saves a lone caller a
//! wake-up.

use std::sync::Arc;

use grpcio::UnarySink;

use super::order::{Appended, Dialect, end_met, named};
use crate::log::{AppendError, Pending};
use crate::service::backend::Backend;
use crate::service::caller::Caller;
use crate::service::detach::detach;
use crate::service::guard::Produce;
use crate::service::limits::CallSlot;
use crate::service::message::{Reply, Request};
use crate::service::refusal::Refusal;

/// What the reply waits for.
enum Outcome {
    Taken(Pending),
    /// The log did not end where it was expected to, which is told once that end is durable.
    NotAtEnd(Pending, AppendError),
}

pub(crate) fn handle<D: Dialect>(
    backend: &Arc<Backend>,
    mut request: Request,
    sink: UnarySink<Reply>,
) {
    let begun = begin::<D>(backend, &mut request);
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
        let sent = match outcome {
            Ok(appended) => sink.success(D::reply(&appended)),
            Err(refusal) => sink.fail(backend.status(&refusal)),
        };
        // A client that is gone has no use for the answer; the records are there all the same.
        let _sent = sent.await;
    });
}

fn begin<D: Dialect>(
    backend: &Backend,
    request: &mut Request,
) -> Result<(Outcome, CallSlot), Refusal> {
    let caller = Caller::take()?;
    let known = D::LOG.map(|log| backend.guard.permit::<Produce>(&caller, log)).transpose()?;
    let slot = backend.occupancy.call(caller.subject())?;
    let message = request.bytes();
    let order = D::order(&message, backend.limits())?;
    let permit = match known {
        Some(permit) => permit,
        None => backend.guard.permit(&caller, named(&order)?)?,
    };
    backend.rates.take(caller.subject(), order.payload.len())?;
    let outcome = match order.append(&permit, caller.subject()) {
        Ok(pending) => Outcome::Taken(pending),
        Err(error) => match end_met(&error) {
            Some(end) => Outcome::NotAtEnd(permit.settled(end), error),
            None => return Err(error.into()),
        },
    };
    Ok((outcome, slot))
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
