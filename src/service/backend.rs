//! What the services of one server share.

use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

use grpcio::{RpcContext, RpcStatus};

use super::audit::Audit;
use super::caller::Caller;
use super::calls::Calls;
use super::crew::Crew;
use super::event::Fields;
use super::guard::{Guard, Permit, Produce};
use super::limits::{Limits, Occupancy, StreamSlot};
use super::measured::{Measured, Telling};
use super::rates::Rates;
use super::reads::Reads;
use super::refusal::{OverLimit, Refusal};
use super::status::Statuses;
use crate::log::Log;

const DESK_THREADS: usize = 2;
const YARD_THREADS: usize = 2;

/// The guard and the means that handlers work with. All calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) guard: Arc<Guard>,
    pub(crate) occupancy: Arc<Occupancy>,
    pub(crate) rates: Rates,
    pub(crate) reads: Reads,
    /// Those who look after logs for callers.
    pub(crate) desk: Reads,
    /// Those who drop many files for callers or archive them, which may take long.
    pub(crate) yard: Reads,
    /// Whether a batch for a log that is not there makes it.
    pub(crate) creates_logs: bool,
    pub(crate) started_at: SystemTime,
    pub(crate) crew: Arc<Crew>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) audit: Audit,
    statuses: Statuses,
}

/// What a backend is started with.
#[derive(Debug)]
pub(crate) struct Means {
    pub(crate) limits: Limits,
    pub(crate) read_threads: usize,
    pub(crate) statuses: Statuses,
    pub(crate) creates_logs: bool,
    pub(crate) telling: Telling,
    /// Where it is kept who changed what.
    pub(crate) audit: Option<Arc<Log>>,
}

impl Backend {
    /// Starts the threads for unary calls.
    pub(crate) fn start(guard: Arc<Guard>, means: Means) -> io::Result<Self> {
        let Means { limits, read_threads, statuses, creates_logs, telling, audit } = means;
        let reads = Reads::start("read", read_threads, limits.queued_reads_max)?;
        let desk = Reads::start("admin", DESK_THREADS, limits.queued_reads_max)?;
        let yard = Reads::start("trim", YARD_THREADS, limits.queued_reads_max)?;
        let started_at = SystemTime::now();
        let rates = Rates::new(&limits);
        let occupancy = Arc::new(Occupancy::new(limits));
        let (crew, calls, audit) =
            (Arc::default(), Arc::new(Calls::new(telling)), Audit::new(audit));
        Ok(Self {
            guard,
            occupancy,
            rates,
            reads,
            desk,
            yard,
            creates_logs,
            started_at,
            crew,
            calls,
            audit,
            statuses,
        })
    }

    /// Those in force now. To be held for a short time only.
    pub(crate) fn limits(&self) -> impl Deref<Target = Arc<Limits>> {
        self.occupancy.limits()
    }

    pub(crate) fn replace_limits(&self, limits: Limits) {
        self.rates.replace(&limits);
        self.occupancy.replace_limits(limits);
    }

    /// Takes a slot for a stream that `caller` opens with the call `ctx`.
    pub(crate) fn stream_slot(
        &self,
        caller: &Caller,
        ctx: &RpcContext<'_>,
    ) -> Result<StreamSlot, OverLimit> {
        self.occupancy.stream(caller.subject(), ctx.peer())
    }

    /// The right to append to the log called `name`, which is made now if the server does that.
    /// Blocks on the disk then.
    pub(crate) fn permit_to_produce(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Permit<Produce>, Refusal> {
        if !self.creates_logs {
            return self.guard.permit(caller, name);
        }
        let (permit, is_new) = self.guard.permit_or_create(caller, name)?;
        if is_new {
            let what = vec![("id", permit.log_id().to_string()), ("by", "produce".to_owned())];
            self.changed(caller, "log_created", name, what);
        }
        Ok(permit)
    }

    /// Notes what `caller` has changed.
    pub(crate) fn changed(&self, caller: &Caller, event: &'static str, log: &str, what: Fields) {
        self.audit.changed(caller, event, log, what);
    }

    /// Ends the call for this reason, and returns what its client is told. A denial is told to the
    /// operator as well.
    pub(crate) fn refuse(&self, measured: Measured, refusal: &Refusal) -> RpcStatus {
        if let Refusal::Denied(denied) = refusal {
            self.calls.denied(denied);
            self.audit.denied(denied, measured.tag());
        }
        let status = self.statuses.of(refusal, measured.tag());
        measured.failed(status)
    }
}
