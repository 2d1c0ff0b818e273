//! `grpc.health.v1.Health`: whether the process can do its work.
//!
//! One may ask about the process, a service, or one method of it. A server that cannot acknowledge
//! appends or is stopping does not serve; while the disk is too full, only the methods that append
//! do not. One damaged log changes nothing here. Any authenticated caller may ask.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::SinkExt as _;
use grpcio::{
    RpcContext, RpcStatus, RpcStatusCode, ServerStreamingSink, Service, UnarySink, WriteFlags,
};

use super::backend::Backend;
use super::caller::Caller;
use super::calls::MethodCalls;
use super::detach::detach;
use super::limits::StreamSlot;
use super::measured::Measured;
use super::methods::{self, Need};
use super::refusal::Refusal;
use super::session::{Cut, Session};
use crate::acl::Action;
use crate::proto::health::health_check_response::ServingStatus;
use crate::proto::health::{HealthCheckRequest, HealthCheckResponse};
use crate::proto::health_grpc::{self, Health};

/// The service, to be registered with a server.
pub(crate) fn service(backend: &Arc<Backend>) -> Service {
    let (checks, watches) =
        (backend.calls.of(methods::HEALTH_CHECK), backend.calls.of(methods::HEALTH_WATCH));
    health_grpc::create_health(Asked { backend: Arc::clone(backend), checks, watches })
}

#[derive(Clone)]
struct Asked {
    backend: Arc<Backend>,
    checks: Arc<MethodCalls>,
    watches: Arc<MethodCalls>,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The process or a whole service, which serve as long as any method does.
    Whole,
    /// A method that appends.
    Appending,
    /// Any other method.
    Other,
}

/// An open watch.
struct Watch {
    backend: Arc<Backend>,
    measured: Measured,
    /// `None` if there is nothing of that name.
    part: Option<Part>,
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
        let measured = self.checks.begin();
        let outcome =
            Caller::take().and_then(|caller| Ok(self.backend.occupancy.call(caller.subject())?));
        let part = Part::named(&request.service);
        let sent = match outcome.map(|_answered_at_once| part) {
            Ok(Some(part)) => {
                measured.done();
                sink.success(response(self.backend.serving(part)))
            }
            Ok(None) => sink.fail(measured.failed(RpcStatus::with_message(
                RpcStatusCode::NOT_FOUND,
                "there is no such service".to_owned(),
            ))),
            Err(refusal) => sink.fail(self.backend.refuse(measured, &refusal)),
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
        let measured = self.watches.begin_stream();
        let opened = Caller::take().and_then(|caller| {
            let slot = self.backend.stream_slot(&caller, &ctx)?;
            Ok((self.backend.guard.open_without_log(&caller), slot))
        });
        let backend = Arc::clone(&self.backend);
        match opened {
            Ok((session, slot)) => {
                let part = Part::named(&request.service);
                detach(Watch { backend, measured, part, session, sink, _slot: slot }.run());
            }
            Err(refusal) => {
                let sent = sink.fail(backend.refuse(measured, &refusal));
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
        let status = self.backend.refuse(self.measured, &Refusal::from(cut));
        // A client that is gone has no use for the reason.
        let _sent = self.sink.fail(status).await;
    }

    fn status(&self) -> ServingStatus {
        self.part.map_or(ServingStatus::SERVICE_UNKNOWN, |part| self.backend.serving(part))
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

impl Part {
    /// `name` is empty, a service's, or a method's such as `varve.v1.Log/Produce`.
    fn named(name: &str) -> Option<Self> {
        if name.is_empty() || methods::services().any(|service| service == name) {
            return Some(Self::Whole);
        }
        methods::need(format!("/{name}").as_bytes()).map(|need| match need {
            Need::Permission(Action::Produce) => Self::Appending,
            Need::Permission(_) | Need::Everywhere(_) | Need::Identity => Self::Other,
        })
    }
}

impl Backend {
    fn serving(&self, part: Part) -> ServingStatus {
        let guard = &self.guard;
        let works = guard.storage_works() && !guard.is_stopping();
        match works && (part != Part::Appending || guard.has_space()) {
            true => ServingStatus::SERVING,
            false => ServingStatus::NOT_SERVING,
        }
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into(), ..HealthCheckResponse::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_each_service_and_each_method_have_a_state() {
        assert_eq!(Part::named(""), Some(Part::Whole));
        for service in methods::services() {
            assert_eq!(Part::named(service), Some(Part::Whole), "{service}");
        }
        for (method, part) in [
            (methods::PRODUCE, Part::Appending),
            (methods::PRODUCE_BATCHES, Part::Appending),
            (methods::CONSUME, Part::Other),
            ("/grpc.health.v1.Health/Check", Part::Other),
        ] {
            assert_eq!(Part::named(&method[1..]), Some(part), "{method}");
        }
    }

    #[test]
    fn nothing_else_has_one() {
        for name in ["/", "log.v1", "log.v1.Log/", "/log.v1.Log/Produce", "log.v1.Log.Produce"] {
            assert_eq!(Part::named(name), None, "{name}");
        }
    }
}
