//! The checker that runs before every handler: it admits a caller or ends the call.

use std::sync::Arc;

use grpcio::{CheckResult, RpcContext, RpcStatus, RpcStatusCode, ServerChecker};
use log::Level;

use super::caller::Caller;
use super::calls::Calls;
use super::event;
use super::guard::{Guard, Unadmitted};
use super::tag::Tag;
use crate::fail_points::fail_point;
use crate::line_limit::LineLimit;

/// Admits callers for `guard`. What it refuses carries no details: the binding drops them here.
#[derive(Clone, Debug)]
pub(crate) struct Checker {
    guard: Arc<Guard>,
    calls: Arc<Calls>,
    lines: Arc<LineLimit>,
}

impl Checker {
    pub(crate) fn new(guard: Arc<Guard>, calls: Arc<Calls>) -> Self {
        Self { guard, calls, lines: Arc::default() }
    }
}

impl Checker {
    /// A stranger may come as often as it likes.
    fn tell(&self, ctx: &RpcContext<'_>, status: &RpcStatus) {
        if let Some(untold) = self.lines.line() {
            let mut fields = vec![
                ("method", String::from_utf8_lossy(ctx.method()).into_owned()),
                ("peer", ctx.peer()),
                ("reason", status.message().to_owned()),
            ];
            fields.extend(Tag::of(ctx.request_headers().iter()).fields());
            fields.push(("untold", untold.to_string()));
            event::write(Level::Info, module_path!(), "call_refused", &fields);
        }
    }
}

impl ServerChecker for Checker {
    fn check(&mut self, ctx: &RpcContext<'_>) -> CheckResult {
        // Whoever came before on this thread is gone whatever happens next.
        Caller::leave(None);
        match self.guard.admit(ctx) {
            Ok(caller) => {
                fail_point!(&String::from_utf8_lossy(ctx.method()));
                Caller::leave(Some(caller));
                CheckResult::Continue
            }
            Err(why) => {
                self.calls.unadmitted(&why);
                let status = RpcStatus::from(&why);
                self.tell(ctx, &status);
                CheckResult::Abort(status)
            }
        }
    }

    fn box_clone(&self) -> Box<dyn ServerChecker> {
        Box::new(self.clone())
    }
}

impl From<&Unadmitted> for RpcStatus {
    fn from(why: &Unadmitted) -> Self {
        match why {
            Unadmitted::Nobody(why) => why.into(),
            Unadmitted::Unmapped => Self::with_message(
                RpcStatusCode::PERMISSION_DENIED,
                "this method is open to nobody".to_owned(),
            ),
            Unadmitted::Stopping => {
                Self::with_message(RpcStatusCode::UNAVAILABLE, "the server is stopping".to_owned())
            }
        }
    }
}
