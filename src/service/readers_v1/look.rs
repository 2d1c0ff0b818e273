//! `GetReader` and `ListReaders`, on a reading thread.

use std::sync::Arc;

use grpcio::UnarySink;

use super::messages::{self, Target};
use super::{Call, begin};
use crate::log::{ReaderError, ReaderName};
use crate::service::backend::Backend;
use crate::service::measured::Measured;
use crate::service::message::{Reply, Request};
use crate::service::reads::Read;
use crate::service::refusal::{BadRequest, OverLimit, Refusal};

/// What is looked for: one reader or all.
type Sought = Option<ReaderName>;

/// A call that waits for a reading thread.
struct Waiting {
    backend: Arc<Backend>,
    call: Call,
    sought: Sought,
}

pub(super) fn handle(
    backend: &Arc<Backend>,
    arrived: (Measured, Request, UnarySink<Reply>),
    read: impl FnOnce(&[u8]) -> Result<(Target<'_>, Sought), BadRequest>,
) {
    if let Some((call, sought)) = begin(backend, arrived, read) {
        let waiting = Waiting { backend: Arc::clone(backend), call, sought };
        backend.reads.submit(Box::new(waiting));
    }
}

/// What a `GetReader` looks for.
pub(super) fn one(message: &[u8]) -> Result<(Target<'_>, Sought), BadRequest> {
    let (target, name) = messages::get_request(message)?;
    Ok((target, Some(name)))
}

/// What a `ListReaders` looks for.
pub(super) fn all(message: &[u8]) -> Result<(Target<'_>, Sought), BadRequest> {
    let (target, ()) = messages::list_request(message)?;
    Ok((target, None))
}

impl Read for Waiting {
    fn run(self: Box<Self>) {
        let found = look(&self.call, self.sought.as_ref());
        self.call.answer(&self.backend, found);
    }

    fn refuse(self: Box<Self>, over: OverLimit) {
        self.call.answer(&self.backend, Err(over.into()));
    }
}

fn look(call: &Call, sought: Option<&ReaderName>) -> Result<Reply, Refusal> {
    let (permit, id) = (&call.permit, call.permit.log_id());
    if let Some(name) = sought {
        let reader = permit.reader(&call.scope, name)?.ok_or(ReaderError::NotFound)?;
        return Ok(messages::get_response(permit.standing(reader)?, id));
    }
    let readers = permit.readers(&call.scope)?;
    let readers = readers.into_iter().map(|reader| permit.standing(reader));
    Ok(messages::list_response(readers.collect::<Result<_, _>>()?, id))
}
