//! The service `varve.v1.Readers`: named positions in logs.
//!
//! Files, lowest first: `messages` (its wire form), `look` (the calls that only read) and `orders`
//! (those that move and delete, which share syncs).

mod look;
pub(super) mod messages;
mod orders;

use std::sync::Arc;

use grpcio::{Method, MethodType, Service, ServiceBuilder, UnarySink};

use self::messages::Target;
use self::orders::Orders;
use super::answer::answer;
use super::backend::Backend;
use super::caller::Caller;
use super::guard::{Consume, Permit, ReaderScope};
use super::limits::CallSlot;
use super::measured::Measured;
use super::message::{Reply, Request, method};
use super::methods;
use super::refusal::{BadRequest, Refusal};

static COMMIT: Method<Request, Reply> = method(methods::COMMIT_READER, MethodType::Unary);
static GET: Method<Request, Reply> = method(methods::GET_READER, MethodType::Unary);
static LIST: Method<Request, Reply> = method(methods::LIST_READERS, MethodType::Unary);
static DELETE: Method<Request, Reply> = method(methods::DELETE_READER, MethodType::Unary);

/// The service, to be registered with a server.
pub(crate) fn service(backend: &Arc<Backend>) -> Service {
    let orders = Arc::new(Orders::new(backend));
    let (commits, deletes) = (Arc::clone(&orders), orders);
    let (gets, lists) = (Arc::clone(backend), Arc::clone(backend));
    let [commit, get, list, delete] = [
        methods::COMMIT_READER,
        methods::GET_READER,
        methods::LIST_READERS,
        methods::DELETE_READER,
    ]
    .map(|method| backend.calls.of(method));
    ServiceBuilder::new()
        .add_unary_handler(&COMMIT, move |_, request, sink| {
            orders::handle(&commits, (commit.begin(), request, sink), messages::commit_request);
        })
        .add_unary_handler(&GET, move |_, request, sink| {
            look::handle(&gets, (get.begin(), request, sink), look::one);
        })
        .add_unary_handler(&LIST, move |_, request, sink| {
            look::handle(&lists, (list.begin(), request, sink), look::all);
        })
        .add_unary_handler(&DELETE, move |_, request, sink| {
            orders::handle(&deletes, (delete.begin(), request, sink), messages::delete_request);
        })
        .build()
}

/// A call that was let in.
struct Call {
    measured: Measured,
    sink: UnarySink<Reply>,
    permit: Permit<Consume>,
    scope: ReaderScope,
    slot: CallSlot,
}

impl Call {
    /// Answers. The call counts as answered before the answer can make the client call again.
    fn answer(self, backend: &Backend, outcome: Result<Reply, Refusal>) {
        drop(self.slot);
        answer(backend, (self.measured, self.sink), outcome);
    }
}

/// Lets a call in that asks for what `read` reads in its request, or answers it with the reason why
/// not.
fn begin<T>(
    backend: &Backend,
    (measured, mut request, sink): (Measured, Request, UnarySink<Reply>),
    read: impl FnOnce(&[u8]) -> Result<(Target<'_>, T), BadRequest>,
) -> Option<(Call, T)> {
    match admit(backend, &mut request, read) {
        Ok((permit, scope, slot, wanted)) => {
            Some((Call { measured, sink, permit, scope, slot }, wanted))
        }
        Err(refusal) => {
            answer(backend, (measured, sink), Err(refusal));
            None
        }
    }
}

fn admit<T>(
    backend: &Backend,
    request: &mut Request,
    read: impl FnOnce(&[u8]) -> Result<(Target<'_>, T), BadRequest>,
) -> Result<(Permit<Consume>, ReaderScope, CallSlot, T), Refusal> {
    let caller = Caller::take()?;
    let slot = backend.occupancy.call(caller.subject())?;
    let message = request.bytes();
    let (target, wanted) = read(message)?;
    let permit = backend.guard.permit::<Consume>(&caller, target.log)?;
    let actual = permit.log_id();
    if let Some(expected) = target.id.filter(|expected| *expected != actual) {
        return Err(Refusal::LogReplaced { name: target.log.to_owned(), expected, actual });
    }
    let scope = backend.guard.reader_scope(&caller, &permit);
    Ok((permit, scope, slot, wanted))
}
