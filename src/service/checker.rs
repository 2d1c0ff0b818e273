//! The checker that runs before every handler: it admits a caller or ends the call.

use std::sync::Arc;

use grpcio::{CheckResult, RpcContext, RpcStatus, RpcStatusCode, ServerChecker};

use super::caller::Caller;
use super::calls::Calls;
use super::guard::{Guard, Unadmitted};
use crate::fail_points::fail_point;

/// Admits callers for `guard`. What it refuses carries no details: the binding drops them here.
#[derive(Clone, Debug)]
pub(crate) struct Checker {
    guard: Arc<Guard>,
    calls: Arc<Calls>,
}

impl Checker {
    pub(crate) fn new(guard: Arc<Guard>, calls: Arc<Calls>) -> Self {
        Self { guard, calls }
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
                log::info!(
                    target: "varve::access",
                    "call refused; method={:?} peer={:?} reason={:?}",
                    String::from_utf8_lossy(ctx.method()), ctx.peer(), status.message(),
                );
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
