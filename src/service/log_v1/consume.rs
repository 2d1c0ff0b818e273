//! `Consume`: reads the record at one offset, on a reading thread.

use std::sync::Arc;

use grpcio::{RpcContext, UnarySink};

use super::{LOG, fetch, messages};
use crate::log::Offset;
use crate::service::backend::Backend;
use crate::service::caller::Caller;
use crate::service::detach::detach;
use crate::service::guard::{Consume, Permit};
use crate::service::limits::CallSlot;
use crate::service::message::{Reply, Request};
use crate::service::reads::Read;
use crate::service::refusal::{OutOfRange, OverLimit, Refusal};

/// A call that waits for a reading thread.
struct Waiting {
    backend: Arc<Backend>,
    sink: UnarySink<Reply>,
    permit: Permit<Consume>,
    offset: Offset,
    slot: CallSlot,
}

pub(super) fn handle(
    backend: &Arc<Backend>,
    _: &RpcContext<'_>,
    mut request: Request,
    sink: UnarySink<Reply>,
) {
    match begin(backend, &mut request) {
        Ok((permit, offset, slot)) => {
            let backend = Arc::clone(backend);
            let waiting = Waiting { backend: Arc::clone(&backend), sink, permit, offset, slot };
            backend.reads.submit(Box::new(waiting));
        }
        Err(refusal) => answer(backend, sink, Err(refusal)),
    }
}

fn begin(
    backend: &Backend,
    request: &mut Request,
) -> Result<(Permit<Consume>, Offset, CallSlot), Refusal> {
    let caller = Caller::take()?;
    let permit = backend.guard.permit::<Consume>(&caller, LOG)?;
    let slot = backend.occupancy.call(caller.subject())?;
    let offset = messages::consume_request(&request.bytes())?;
    let bounds = permit.bounds();
    // What cannot be there needs no disk to say so.
    if offset < bounds.start || offset >= bounds.end {
        return Err(OutOfRange::new(offset, bounds).into());
    }
    Ok((permit, offset, slot))
}

impl Read for Waiting {
    fn run(self: Box<Self>) {
        let found = fetch::one(&self.permit, self.offset);
        // The call counts as answered before the answer can make the client call again.
        drop(self.slot);
        answer(&self.backend, self.sink, found);
    }

    fn refuse(self: Box<Self>, over: OverLimit) {
        drop(self.slot);
        answer(&self.backend, self.sink, Err(over.into()));
    }
}

fn answer(backend: &Backend, sink: UnarySink<Reply>, outcome: Result<Reply, Refusal>) {
    let sent = match outcome {
        Ok(reply) => sink.success(reply),
        Err(refusal) => sink.fail(backend.status(&refusal)),
    };
    detach(async move {
        // A client that is gone has no use for the answer.
        let _sent = sent.await;
    });
}
