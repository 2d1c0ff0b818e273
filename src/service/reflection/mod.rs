//! `grpc.reflection.v1` and `v1alpha`: the server describes its own interface to generic clients.
//!
//! The two differ in name alone. Any authenticated caller may ask. A stream needs no thread: what
//! it tells lies in memory.
//!
//! Files, lowest first: `catalog` (what there is to tell), `answers` (one request's reply).

mod answers;
mod catalog;

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_timer::Delay;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use grpcio::{
    DuplexSink, Method, MethodType, RequestStream, RpcContext, Service, ServiceBuilder, WriteFlags,
};

use self::catalog::Catalog;
use super::backend::Backend;
use super::caller::Caller;
use super::detach::detach;
use super::ending::{Ending, FAREWELL};
use super::limits::StreamSlot;
use super::measured::Measured;
use super::message::{Reply, Request, method};
use super::methods;
use super::refusal::Refusal;
use super::session::Session;

static REFLECT: Method<Request, Reply> = method(methods::REFLECT, MethodType::Duplex);
static REFLECT_ALPHA: Method<Request, Reply> = method(methods::REFLECT_ALPHA, MethodType::Duplex);

/// The service under both its names, each to be registered with a server.
pub(crate) fn services(backend: &Arc<Backend>) -> [Service; 2] {
    let catalog = Arc::new(Catalog::ours());
    [&REFLECT, &REFLECT_ALPHA].map(|method| {
        let (backend, catalog) = (Arc::clone(backend), Arc::clone(&catalog));
        let calls = backend.calls.of(method.name);
        ServiceBuilder::new()
            .add_duplex_streaming_handler(method, move |ctx, requests, sink| {
                handle(&backend, &catalog, &ctx, (calls.begin_stream(), requests, sink));
            })
            .build()
    })
}

/// An open stream.
struct Asking {
    backend: Arc<Backend>,
    measured: Measured,
    catalog: Arc<Catalog>,
    requests: RequestStream<Request>,
    sink: DuplexSink<Reply>,
    session: Session,
    _slot: StreamSlot,
}

fn handle(
    backend: &Arc<Backend>,
    catalog: &Arc<Catalog>,
    ctx: &RpcContext<'_>,
    (measured, requests, sink): (Measured, RequestStream<Request>, DuplexSink<Reply>),
) {
    let opened = Caller::take().and_then(|caller| {
        let slot = backend.stream_slot(&caller, ctx)?;
        Ok((backend.guard.open_without_log(&caller), slot))
    });
    let backend = Arc::clone(backend);
    match opened {
        Ok((session, _slot)) => {
            let catalog = Arc::clone(catalog);
            detach(Asking { backend, measured, catalog, requests, sink, session, _slot }.run());
        }
        Err(refusal) => {
            let sent = sink.fail(backend.refuse(measured, &refusal));
            detach(async move {
                // A client that is gone has no use for the reason.
                let _sent = sent.await;
                // Dropped any earlier it would cancel the call before the status is out.
                drop(requests);
            });
        }
    }
}

impl Asking {
    async fn run(mut self) {
        let Err(ending) = self.answer_all().await;
        // A client that is gone by now has no use for the end.
        match ending {
            Ending::Gone => {}
            Ending::Done => {
                self.measured.done();
                let _sent = self.sink.close().await;
            }
            Ending::Refused(refusal) => {
                let status = self.backend.refuse(self.measured, &refusal);
                let _sent = self.sink.fail(status).await;
            }
        }
        // Dropped any earlier it would cancel the call before the status is out.
        drop(self.requests);
    }

    async fn answer_all(&mut self) -> Result<Infallible, Ending> {
        loop {
            let mut request = poll_fn(|cx| self.poll_request(cx)).await?;
            let reply = answers::reply(&self.catalog, request.bytes()).map_err(Refusal::from)?;
            drop(request);
            self.send(reply).await?;
        }
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Request, Ending>> {
        if let Poll::Ready(cut) = self.session.poll_cut(cx) {
            return Poll::Ready(Err(cut.into()));
        }
        self.requests.poll_next_unpin(cx).map(|received| match received {
            Some(Ok(request)) => Ok(request),
            Some(Err(_gone)) => Err(Ending::Gone),
            None => Err(Ending::Done),
        })
    }

    async fn send(&mut self, reply: Reply) -> Result<(), Ending> {
        let session = &self.session;
        let mut sent = pin!(self.sink.send((reply, WriteFlags::default())));
        let mut patience: Option<Delay> = None;
        poll_fn(|cx| {
            if let Poll::Ready(sent) = sent.as_mut().poll(cx) {
                return Poll::Ready(sent.map_err(|_gone| Ending::Gone));
            }
            if patience.is_none() && session.poll_cut(cx).is_ready() {
                patience = Some(Delay::new(FAREWELL));
            }
            // A cut does not wait long for a client that takes nothing, and cannot be told to it.
            let over = patience.as_mut().map(|patience| patience.poll_unpin(cx).is_ready());
            if over == Some(true) { Poll::Ready(Err(Ending::Gone)) } else { Poll::Pending }
        })
        .await
    }
}
