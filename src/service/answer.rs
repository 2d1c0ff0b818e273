//! The answer of a unary call.

use grpcio::{UnarySink, UnarySinkResult};

use super::backend::Backend;
use super::detach::detach;
use super::measured::Measured;
use super::refusal::Refusal;

/// A call that is to be answered.
pub(crate) type Unanswered<T> = (Measured, UnarySink<T>);

/// Sends the answer, which has left when the returned future resolves.
pub(crate) fn send<T>(
    backend: &Backend,
    (measured, mut sink): Unanswered<T>,
    outcome: Result<T, Refusal>,
) -> UnarySinkResult {
    if let Some(headers) = measured.headers() {
        sink.set_headers(headers);
    }
    match outcome {
        Ok(reply) => {
            measured.done();
            sink.success(reply)
        }
        Err(refusal) => sink.fail(backend.refuse(measured, &refusal)),
    }
}

/// Sends the answer and goes on.
pub(crate) fn answer<T>(backend: &Backend, call: Unanswered<T>, outcome: Result<T, Refusal>) {
    let sent = send(backend, call, outcome);
    detach(async move {
        // A client that is gone has no use for the answer; what it asked for is done all the same.
        let _sent = sent.await;
    });
}
