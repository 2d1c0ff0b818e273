//! The service `varve.v1.Admin`: making, changing and looking after logs, and a look at the server.
//!
//! Files: `logs` (create, delete, list, describe), `settings` (how settings stand on the wire, and
//! their change), `trim`, `backup`, `info`. Each call is worked on by a thread that may wait for
//! the disk.

mod backup;
pub(crate) mod info;
mod logs;
mod settings;
mod trim;

use std::sync::Arc;

use grpcio::{Method, MethodType, Service, ServiceBuilder, UnarySink};
use protobuf::Message;

use super::answer::answer;
use super::backend::Backend;
use super::caller::Caller;
use super::limits::CallSlot;
use super::measured::Measured;
use super::message::{Reply, Request, method};
use super::methods;
use super::reads::{Read, Reads};
use super::refusal::{BadRequest, OverLimit, Refusal};

static CREATE_LOG: Method<Request, Reply> = method(methods::CREATE_LOG, MethodType::Unary);
static UPDATE_LOG: Method<Request, Reply> = method(methods::UPDATE_LOG, MethodType::Unary);
static DELETE_LOG: Method<Request, Reply> = method(methods::DELETE_LOG, MethodType::Unary);
static LIST_LOGS: Method<Request, Reply> = method(methods::LIST_LOGS, MethodType::Unary);
static DESCRIBE_LOG: Method<Request, Reply> = method(methods::DESCRIBE_LOG, MethodType::Unary);
static TRIM: Method<Request, Reply> = method(methods::TRIM, MethodType::Unary);
static BACK_UP: Method<Request, Reply> = method(methods::BACK_UP, MethodType::Unary);
static INFO: Method<Request, Reply> = method(methods::GET_SERVER_INFO, MethodType::Unary);

/// The service, to be registered with a server.
pub(crate) fn service(backend: &Arc<Backend>) -> Service {
    let builder = ServiceBuilder::new();
    let builder = add(builder, backend, &CREATE_LOG, (desk, logs::create));
    let builder = add(builder, backend, &UPDATE_LOG, (desk, settings::update));
    let builder = add(builder, backend, &DELETE_LOG, (yard, logs::delete));
    let builder = add(builder, backend, &LIST_LOGS, (desk, logs::list));
    let builder = add(builder, backend, &DESCRIBE_LOG, (desk, logs::describe));
    let builder = add(builder, backend, &TRIM, (yard, trim::trim));
    let builder = add(builder, backend, &BACK_UP, (yard, backup::back_up));
    add(builder, backend, &INFO, (desk, info::get)).build()
}

/// What a call does, on a thread that may wait for the disk.
type Work<Q, A> = fn(&Backend, &Caller, &Q) -> Result<A, Refusal>;
/// The threads that do it.
type Place = fn(&Backend) -> &Reads;

fn desk(backend: &Backend) -> &Reads {
    &backend.desk
}

fn yard(backend: &Backend) -> &Reads {
    &backend.yard
}

fn add<Q: Message, A: Message>(
    builder: ServiceBuilder,
    backend: &Arc<Backend>,
    method: &'static Method<Request, Reply>,
    (place, work): (Place, Work<Q, A>),
) -> ServiceBuilder {
    let (backend, calls) = (Arc::clone(backend), backend.calls.of(method.name));
    builder.add_unary_handler(method, move |_, mut request, sink| {
        let measured = calls.begin();
        match begin(&backend, &mut request) {
            Ok((caller, slot, request)) => {
                let own = Arc::clone(&backend);
                let waiting = Waiting { backend: own, measured, sink, caller, slot, request, work };
                place(&backend).submit(Box::new(waiting));
            }
            Err(refusal) => answer(&backend, (measured, sink), Err(refusal)),
        }
    })
}

/// A call that waits for a thread.
struct Waiting<Q, A> {
    backend: Arc<Backend>,
    measured: Measured,
    sink: UnarySink<Reply>,
    caller: Caller,
    slot: CallSlot,
    request: Q,
    work: Work<Q, A>,
}

fn begin<Q: Message>(
    backend: &Backend,
    request: &mut Request,
) -> Result<(Caller, CallSlot, Q), Refusal> {
    let caller = Caller::take()?;
    let slot = backend.occupancy.call(caller.subject())?;
    let request = Q::parse_from_bytes(request.bytes()).map_err(|_| BadRequest::Malformed)?;
    Ok((caller, slot, request))
}

impl<Q: Message, A: Message> Read for Waiting<Q, A> {
    fn run(self: Box<Self>) {
        // It may have waited for long, and its caller's rights may be gone since.
        let outcome = self.backend.guard.readmit(&self.caller);
        let outcome = outcome.and_then(|now| (self.work)(&self.backend, &now, &self.request));
        // The call counts as answered before the answer can make the client call again.
        drop(self.slot);
        answer(&self.backend, (self.measured, self.sink), outcome.map(|message| encode(&message)));
    }

    fn refuse(self: Box<Self>, over: OverLimit) {
        drop(self.slot);
        answer(&self.backend, (self.measured, self.sink), Err(over.into()));
    }
}

fn encode(message: &impl Message) -> Reply {
    // Only a message beyond 2 GiB cannot be written.
    Reply::new(message.write_to_bytes().unwrap_or_default())
}

/// The name in a request, which must have one.
fn named(log: &str) -> Result<&str, BadRequest> {
    if log.is_empty() { Err(BadRequest::NoLog) } else { Ok(log) }
}

/// A count as messages have it.
fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
