//! The service `varve.v1.Log`: batches of records in named logs.
//!
//! `messages` is its wire form.

mod messages;

use std::sync::Arc;

use grpcio::{Method, MethodType, Service, ServiceBuilder};

use super::backend::Backend;
use super::limits::Limits;
use super::message::{Reply, Request, method};
use super::methods;
use super::producing::{Appended, Dialect, Order, call, stream};
use super::refusal::BadRequest;

static PRODUCE: Method<Request, Reply> = method(methods::PRODUCE_BATCH, MethodType::Unary);
static PRODUCE_STREAM: Method<Request, Reply> =
    method(methods::PRODUCE_BATCHES, MethodType::Duplex);

/// The service, to be registered with a server.
pub(crate) fn service(backend: &Arc<Backend>) -> Service {
    let [first, second] = [(); 2].map(|()| Arc::clone(backend));
    ServiceBuilder::new()
        .add_unary_handler(&PRODUCE, move |_, request, sink| {
            call::handle::<Batches>(&first, request, sink);
        })
        .add_duplex_streaming_handler(&PRODUCE_STREAM, move |ctx, requests, sink| {
            stream::handle::<Batches>(&second, &ctx, requests, sink);
        })
        .build()
}

/// A batch a request, to the log that the request names.
#[derive(Debug)]
enum Batches {}

impl Dialect for Batches {
    const LOG: Option<&'static str> = None;

    fn order<'a>(message: &'a [u8], limits: &Limits) -> Result<Order<'a>, BadRequest> {
        messages::produce_request(message, limits)
    }

    fn reply(appended: &Appended) -> Reply {
        messages::produce_response(appended)
    }
}
