//! `grpc.health.v1.Health`: whether the process can do its work.
//!
//! It is about the process and its one service: a server that cannot acknowledge appends or is
//! stopping does not serve. Any authenticated caller may ask.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::SinkExt as _;
use grpcio::{
    RpcContext, RpcStatus, RpcStatusCode, ServerStreamingSink, Service, UnarySink, WriteFlags,
};

use super::backend::Backend;
use super::caller::Caller;
use super::detach::detach;
use super::limits::StreamSlot;
use super::refusal::Refusal;
use super::session::{Cut, Session};
use crate::proto::health::health_check_response::ServingStatus;
use crate::proto::health::{HealthCheckRequest, HealthCheckResponse};
use crate::proto::health_grpc::{self, Health};

/// The names one may ask about: the process as a whole, and its service.
const NAMES: [&str; 2] = ["", "log.v1.Log"];

/// The service, to be registered with a server.
pub(crate) fn service(backend: &Arc<Backend>) -> Service {
    health_grpc::create_health(Asked { backend: Arc::clone(backend) })
}

#[derive(Clone)]
struct Asked {
    backend: Arc<Backend>,
}

/// An open watch.
struct Watch {
    backend: Arc<Backend>,
    is_known: bool,
    session: Session,
    sink: ServerStreamingSink<HealthCheckResponse>,
    _slot: StreamSlot,
}

/// What wakes a watch.
enum Woken {
    /// It is time to look again.
    Review,
    Cut(Cut),
    ClientGone,
}

impl Health for Asked {
    fn check(
        &mut self,
        _: RpcContext<'_>,
        request: HealthCheckRequest,
        sink: UnarySink<HealthCheckResponse>,
    ) {
        let outcome =
            Caller::take().and_then(|caller| Ok(self.backend.occupancy.call(caller.subject())?));
        let sent = match outcome {
            Ok(_answered_at_once) if NAMES.contains(&&*request.service) => {
                sink.success(response(self.backend.serving()))
            }
            Ok(_answered_at_once) => sink.fail(RpcStatus::with_message(
                RpcStatusCode::NOT_FOUND,
                "there is no such service".to_owned(),
            )),
            Err(refusal) => sink.fail(self.backend.status(&refusal)),
        };
        detach(async move {
            // A client that is gone has no use for the answer.
            let _sent = sent.await;
        });
    }

    fn watch(
        &mut self,
        ctx: RpcContext<'_>,
        request: HealthCheckRequest,
        sink: ServerStreamingSink<HealthCheckResponse>,
    ) {
        let opened = Caller::take().and_then(|caller| {
            let slot = self.backend.stream_slot(&caller, &ctx)?;
            Ok((self.backend.guard.open_without_log(&caller), slot))
        });
        let backend = Arc::clone(&self.backend);
        match opened {
            Ok((session, slot)) => {
                let is_known = NAMES.contains(&&*request.service);
                detach(Watch { backend, is_known, session, sink, _slot: slot }.run());
            }
            Err(refusal) => {
                let sent = sink.fail(backend.status(&refusal));
                detach(async move {
                    // A client that is gone has no use for the reason.
                    let _sent = sent.await;
                });
            }
        }
    }
}

impl Watch {
    /// Tells the status, and again whenever a review finds it changed.
    async fn run(mut self) {
        let mut told = None;
        loop {
            let reviews = self.session.reviews();
            let status = self.status();
            if told.replace(status) != Some(status) && !self.tell(status).await {
                return;
            }
            match poll_fn(|cx| self.poll_woken(cx, reviews)).await {
                Woken::Review => {}
                Woken::ClientGone => return,
                Woken::Cut(cut) => return self.end(told, cut).await,
            }
        }
    }

    /// Tells the last status, if it is news, and why the watch ends.
    async fn end(mut self, told: Option<ServingStatus>, cut: Cut) {
        let status = self.status();
        if told != Some(status) && !self.tell(status).await {
            return;
        }
        let status = self.backend.status(&Refusal::from(cut));
        // A client that is gone has no use for the reason.
        let _sent = self.sink.fail(status).await;
    }

    fn status(&self) -> ServingStatus {
        if self.is_known { self.backend.serving() } else { ServingStatus::SERVICE_UNKNOWN }
    }

    /// Whether the client is still there.
    async fn tell(&mut self, status: ServingStatus) -> bool {
        self.sink.send((response(status), WriteFlags::default())).await.is_ok()
    }

    fn poll_woken(&mut self, cx: &mut Context<'_>, reviews: u64) -> Poll<Woken> {
        if let Poll::Ready(cut) = self.session.poll_cut(cx) {
            return Poll::Ready(Woken::Cut(cut));
        }
        if let Poll::Ready(Err(_gone)) = self.sink.poll_ready_unpin(cx) {
            return Poll::Ready(Woken::ClientGone);
        }
        self.session.poll_review(cx, reviews).map(|()| Woken::Review)
    }
}

impl Backend {
    fn serving(&self) -> ServingStatus {
        if self.guard.storage_works() && !self.guard.is_stopping() {
            ServingStatus::SERVING
        } else {
            ServingStatus::NOT_SERVING
        }
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into(), ..HealthCheckResponse::default() }
}
