//! `Produce`: appends one record and answers its offset once it is on disk.
//!
//! The handler appends on the poll thread, which takes a lock for memory operations only, and parks
//! the reply; the flusher sends it once the sync is done, which saves a lone caller a wake-up.

use std::sync::Arc;

use grpcio::UnarySink;

use super::{LOG, append, messages};
use crate::log::Pending;
use crate::service::backend::Backend;
use crate::service::caller::Caller;
use crate::service::detach::detach;
use crate::service::guard::Produce;
use crate::service::limits::CallSlot;
use crate::service::message::{Reply, Request};
use crate::service::refusal::Refusal;

pub(super) fn handle(backend: &Arc<Backend>, mut request: Request, sink: UnarySink<Reply>) {
    let appended = begin(backend, &mut request);
    let backend = Arc::clone(backend);
    detach(async move {
        let outcome = match appended {
            Ok((pending, slot)) => {
                let offset = pending.base_offset();
                let acknowledged = pending.await;
                // The call counts as answered before the answer can make the client call again.
                drop(slot);
                acknowledged.map(|_level| offset).map_err(Refusal::from)
            }
            Err(refusal) => Err(refusal),
        };
        let sent = match outcome {
            Ok(offset) => sink.success(messages::produce_response(offset)),
            Err(refusal) => sink.fail(backend.status(&refusal)),
        };
        // A client that is gone has no use for the answer; the record is there all the same.
        let _sent = sent.await;
    });
}

fn begin(backend: &Backend, request: &mut Request) -> Result<(Pending, CallSlot), Refusal> {
    let caller = Caller::take()?;
    let permit = backend.guard.permit::<Produce>(&caller, LOG)?;
    let slot = backend.occupancy.call(caller.subject())?;
    let payload = append::payload(request, backend.limits())?;
    Ok((append::append(&permit, &payload)?, slot))
}
