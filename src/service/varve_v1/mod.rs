//! The service `varve.v1.Log`: batches of records in named logs.
//!
//! `messages`, `consume_request` and `consume_response` are its wire form; `producing` and
//! `consuming` are how it says "append" and "read".

mod consume_request;
pub(super) mod consume_response;
pub(super) mod consuming;
#[cfg(any(test, feature = "floors"))]
pub(super) mod library;
mod messages;
#[cfg(test)]
mod mutants;
mod producing;

use std::sync::Arc;

use grpcio::{Method, MethodType, Service, ServiceBuilder};

use super::backend::Backend;
use super::message::{Reply, Request, method};
use super::methods;
use super::{consuming as reading, producing as appending};

static PRODUCE: Method<Request, Reply> = method(methods::PRODUCE_BATCH, MethodType::Unary);
static PRODUCE_STREAM: Method<Request, Reply> =
    method(methods::PRODUCE_BATCHES, MethodType::Duplex);
static CONSUME: Method<Request, Reply> = method(methods::CONSUME_BATCHES, MethodType::Unary);
static CONSUME_STREAM: Method<Request, Reply> =
    method(methods::CONSUME_BATCHES_STREAM, MethodType::ServerStreaming);

/// The service, to be registered with a server.
pub(crate) fn service(backend: &Arc<Backend>) -> Service {
    let [first, second, third, fourth] = [
        methods::PRODUCE_BATCH,
        methods::PRODUCE_BATCHES,
        methods::CONSUME_BATCHES,
        methods::CONSUME_BATCHES_STREAM,
    ]
    .map(|method| (Arc::clone(backend), backend.calls.of(method)));
    ServiceBuilder::new()
        .add_unary_handler(&PRODUCE, move |_, request, sink| {
            appending::call::handle::<Batches>(&first.0, first.1.begin(), request, sink);
        })
        .add_duplex_streaming_handler(&PRODUCE_STREAM, move |ctx, requests, sink| {
            appending::stream::handle::<Batches>(
                &second.0,
                second.1.begin_stream(),
                &ctx,
                requests,
                sink,
            );
        })
        .add_unary_handler(&CONSUME, move |ctx, request, sink| {
            reading::call::handle::<Batches>(&third.0, third.1.begin(), &ctx, request, sink);
        })
        .add_server_streaming_handler(&CONSUME_STREAM, move |ctx, request, sink| {
            reading::stream::handle::<Batches>(
                &fourth.0,
                fourth.1.begin_stream(),
                &ctx,
                request,
                sink,
            );
        })
        .build()
}

/// Batches, of and into the log that the request names.
#[derive(Debug)]
pub(super) enum Batches {}
