//! What the services of one server share.

use std::io;
use std::sync::Arc;

use grpcio::{RpcContext, RpcStatus};

use super::audit::Audit;
use super::caller::Caller;
use super::crew::Crew;
use super::guard::Guard;
use super::limits::{Limits, Occupancy, StreamSlot};
use super::rates::Rates;
use super::reads::Reads;
use super::refusal::{OverLimit, Refusal};
use super::status::Statuses;

/// The guard and the means that handlers work with. All calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) guard: Arc<Guard>,
    pub(crate) occupancy: Arc<Occupancy>,
    pub(crate) rates: Rates,
    pub(crate) reads: Reads,
    pub(crate) crew: Arc<Crew>,
    statuses: Statuses,
    audit: Audit,
}

impl Backend {
    /// Starts the reading threads.
    pub(crate) fn start(
        guard: Arc<Guard>,
        limits: Limits,
        read_threads: usize,
        statuses: Statuses,
    ) -> io::Result<Self> {
        let reads = Reads::start(read_threads, limits.queued_reads_max)?;
        let rates = Rates::new(&limits);
        let occupancy = Arc::new(Occupancy::new(limits));
        let (crew, audit) = (Arc::default(), Audit::new());
        Ok(Self { guard, occupancy, rates, reads, crew, statuses, audit })
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.occupancy.limits()
    }

    /// Takes a slot for a stream that `caller` opens with the call `ctx`.
    pub(crate) fn stream_slot(
        &self,
        caller: &Caller,
        ctx: &RpcContext<'_>,
    ) -> Result<StreamSlot, OverLimit> {
        self.occupancy.stream(caller.subject(), ctx.peer())
    }

    /// What the client is told; a denial is told to the operator as well.
    pub(crate) fn status(&self, refusal: &Refusal) -> RpcStatus {
        if let Refusal::Denied(denied) = refusal {
            self.audit.denied(denied);
        }
        self.statuses.of(refusal)
    }
}
