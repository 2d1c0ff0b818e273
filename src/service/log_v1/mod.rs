//! The service `log.v1.Log`: one log, one record a request. Its interface is frozen.
//!
//! `messages` is its wire form, `producing` and `consuming` are how it says "append" and "read".

mod consuming;
mod messages;
mod producing;

use std::sync::Arc;

use grpcio::{Method, MethodType, Service, ServiceBuilder};

use self::producing::OneRecord;
use super::backend::Backend;
use super::message::{Reply, Request, method};
use super::methods;
use super::{consuming as reading, producing as appending};

/// The log that the service is about.
const LOG: &str = crate::log::DEFAULT_LOG;

static PRODUCE: Method<Request, Reply> = method(methods::PRODUCE, MethodType::Unary);
static CONSUME: Method<Request, Reply> = method(methods::CONSUME, MethodType::Unary);
static CONSUME_STREAM: Method<Request, Reply> =
    method(methods::CONSUME_STREAM, MethodType::ServerStreaming);
static PRODUCE_STREAM: Method<Request, Reply> = method(methods::PRODUCE_STREAM, MethodType::Duplex);

/// The service, to be registered with a server.
pub(crate) fn service(backend: &Arc<Backend>) -> Service {
    let [first, second, third, fourth] =
        [methods::PRODUCE, methods::CONSUME, methods::CONSUME_STREAM, methods::PRODUCE_STREAM]
            .map(|method| (Arc::clone(backend), backend.calls.of(method)));
    ServiceBuilder::new()
        .add_unary_handler(&PRODUCE, move |_, request, sink| {
            appending::call::handle::<OneRecord>(&first.0, first.1.begin(), request, sink);
        })
        .add_unary_handler(&CONSUME, move |ctx, request, sink| {
            reading::call::handle::<OneRecord>(&second.0, second.1.begin(), &ctx, request, sink);
        })
        .add_server_streaming_handler(&CONSUME_STREAM, move |ctx, request, sink| {
            reading::stream::handle::<OneRecord>(
                &third.0,
                third.1.begin_stream(),
                &ctx,
                request,
                sink,
            );
        })
        .add_duplex_streaming_handler(&PRODUCE_STREAM, move |ctx, requests, sink| {
            appending::stream::handle::<OneRecord>(
                &fourth.0,
                fourth.1.begin_stream(),
                &ctx,
                requests,
                sink,
            );
        })
        .build()
}
