//! Sending the prepared batch over and over, with the offsets that follow.

use std::future::poll_fn;
use std::sync::Arc;

use futures_executor::block_on;
use grpcio::{RpcStatusCode, ServerStreamingSink, UnarySink};

use super::{Null, refusal};
use crate::log::{Bounds, LogId, Offset};
use crate::service::consuming::stream::CHUNK_BYTES;
use crate::service::consuming::{Ask, Dialect as _, Standing, Start};
use crate::service::detach::detach;
use crate::service::message::{Reply, Request};
use crate::service::outbox::Outbox;
use crate::service::reads::Read;
use crate::service::refusal::{BadRequest, OverLimit};
use crate::service::varve_v1::Batches;
use crate::service::varve_v1::consume_response;
use crate::service::varve_v1::consuming::Piece;

/// No consumer reaches the end.
const END: Offset = Offset::new(u64::MAX >> 1);

/// Where a consumer is.
struct Place {
    null: Arc<Null>,
    next: Offset,
    bytes_max: usize,
}

/// An open stream, on its way to its thread and there.
struct Stream {
    place: Place,
    sink: ServerStreamingSink<Reply>,
}

/// A call that waits for a reading thread.
struct Call {
    place: Place,
    sink: UnarySink<Reply>,
}

pub(super) fn call(null: &Arc<Null>, mut request: Request, sink: UnarySink<Reply>) {
    match Batches::ask(request.bytes()) {
        Ok(ask) => {
            let place = Place::new(null, &ask, Batches::CALL_BYTES);
            null.reads.submit(Box::new(Call { place, sink }));
        }
        Err(error) => {
            let sent = sink.fail(malformed(error));
            detach(async move { drop(sent.await) });
        }
    }
}

pub(super) fn stream(null: &Arc<Null>, mut request: Request, sink: ServerStreamingSink<Reply>) {
    match Batches::ask(request.bytes()) {
        Ok(ask) => {
            let stream = Stream { place: Place::new(null, &ask, CHUNK_BYTES), sink };
            // Without a thread the client sees the call cancelled.
            let _started = null.crew.spawn("consume", stream, Stream::serve);
        }
        Err(error) => {
            let sent = sink.fail(malformed(error));
            detach(async move { drop(sent.await) });
        }
    }
}

fn malformed(error: BadRequest) -> grpcio::RpcStatus {
    refusal(RpcStatusCode::INVALID_ARGUMENT, error)
}

impl Place {
    fn new(null: &Arc<Null>, ask: &Ask, read_bytes: usize) -> Self {
        let next = match ask.start {
            Start::Offset(offset) => offset,
            _ => Offset::ZERO,
        };
        Self { null: Arc::clone(null), next, bytes_max: ask.bytes_max.min(read_bytes) }
    }

    /// As many whole batches as a read of a log would bring, and one at least.
    fn reply(&mut self) -> Reply {
        let prepared = &self.null.prepared;
        let count = (self.bytes_max / prepared.payload.len().max(1)).max(1);
        let append_time_us = self.null.now_us();
        let mut next = self.next;
        let pieces: Vec<_> = (0..count)
            .map(|_| {
                let (base, records) = (next, prepared.records);
                next = base.plus(u64::from(records));
                Piece { base, records, append_time_us, payload: &prepared.payload }
            })
            .collect();
        let standing = Standing {
            log_id: LogId::from_bytes([0; 16]),
            bounds: Bounds { start: Offset::ZERO, end: END },
            now_us: append_time_us,
        };
        let reply = consume_response::batches(&pieces, next, &standing);
        self.next = next;
        reply
    }
}

impl Stream {
    fn serve(self) {
        let Self { mut place, mut sink } = self;
        sink.enhance_batch(true);
        let outbox = Outbox::open(sink, ServerStreamingSink::fail);
        while block_on(poll_fn(|cx| outbox.poll_room(cx))).is_ok() {
            outbox.push(place.reply());
        }
    }
}

impl Read for Call {
    fn run(self: Box<Self>) {
        let Self { mut place, sink } = *self;
        let sent = sink.success(place.reply());
        detach(async move { drop(sent.await) });
    }

    fn refuse(self: Box<Self>, _over: OverLimit) {
        let why = "too many reads are queued";
        let sent = self.sink.fail(refusal(RpcStatusCode::RESOURCE_EXHAUSTED, why));
        detach(async move { drop(sent.await) });
    }
}
