//! `varve.v1.Log` without a log: what the wire alone can carry, to compare a server with.
//!
//! The same threads take, read and answer the same messages, and behind them there is nothing, or a
//! file without any order. Producing gives out consecutive offsets and throws the records away;
//! consuming sends one prepared batch over and over. Whoever may connect may do both.
//!
//! Files: `spool` (the file), `producing`, `consuming`.

mod consuming;
mod producing;
pub(crate) mod spool;

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use grpcio::{Method, MethodType, RpcStatus, RpcStatusCode, Service, ServiceBuilder};

use self::spool::{Spool, Spooled};
use super::crew::Crew;
use super::limits::Limits;
use super::message::{Reply, Request, method};
use super::methods;
use super::producing::{Appended, Order};
use super::reads::Reads;
use super::records;
use crate::log::Offset;

static PRODUCE: Method<Request, Reply> = method(methods::PRODUCE_BATCH, MethodType::Unary);
static PRODUCE_STREAM: Method<Request, Reply> =
    method(methods::PRODUCE_BATCHES, MethodType::Duplex);
static CONSUME: Method<Request, Reply> = method(methods::CONSUME_BATCHES, MethodType::Unary);
static CONSUME_STREAM: Method<Request, Reply> =
    method(methods::CONSUME_BATCHES_STREAM, MethodType::ServerStreaming);

/// How long a client may take to receive its stream's end.
const FAREWELL: Duration = Duration::from_secs(1);

/// The service, to be registered with a server.
pub(crate) fn service(null: &Arc<Null>) -> Service {
    let [first, second, third, fourth] = [(); 4].map(|()| Arc::clone(null));
    ServiceBuilder::new()
        .add_unary_handler(&PRODUCE, move |_, request, sink| {
            producing::call(&first, request, sink);
        })
        .add_duplex_streaming_handler(&PRODUCE_STREAM, move |_, requests, sink| {
            producing::stream(&second, requests, sink);
        })
        .add_unary_handler(&CONSUME, move |_, request, sink| {
            consuming::call(&third, request, sink);
        })
        .add_server_streaming_handler(&CONSUME_STREAM, move |_, request, sink| {
            consuming::stream(&fourth, request, sink);
        })
        .build()
}

/// What the handlers share. All calls may run concurrently.
pub(crate) struct Null {
    limits: Limits,
    next: AtomicU64,
    spool: Option<Spool>,
    prepared: Prepared,
    reads: Reads,
    crew: Arc<Crew>,
    started: (Instant, u64),
}

/// The batch that consumers get.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    records: u32,
    payload: Vec<u8>,
}

/// A batch that has its offsets.
struct Taken {
    appended: Appended,
    /// `None` if nothing is to be waited for.
    spooled: Option<Spooled>,
}

impl Prepared {
    /// So many records with values of so many bytes.
    pub(crate) fn new(records: u32, record_bytes: usize) -> Self {
        let record = records::encode_one(&vec![b'v'; record_bytes]);
        let count = usize::try_from(records).unwrap_or(usize::MAX);
        Self { records, payload: record.repeat(count) }
    }
}

impl Null {
    /// Starts the threads. Batches are written in `folder`, if there is one.
    pub(crate) fn start(
        prepared: Prepared,
        read_threads: usize,
        folder: Option<&Path>,
    ) -> io::Result<Self> {
        let limits = Limits::default();
        let reads = Reads::start("read", read_threads, limits.queued_reads_max)?;
        let spool = folder.map(Spool::start).transpose()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = (Instant::now(), u64::try_from(now.as_micros()).unwrap_or(u64::MAX));
        let (next, crew) = (AtomicU64::new(0), Arc::default());
        Ok(Self { limits, next, spool, prepared, reads, crew, started })
    }

    fn take(&self, order: &Order<'_>) -> Taken {
        let records = u64::from(order.records.get());
        let base = self.next.fetch_add(records, Ordering::Relaxed);
        let appended = Appended {
            base: Offset::new(base),
            next: Offset::new(base + records),
            append_time_us: self.now_us(),
            durability: order.durability,
            deduplicated: false,
        };
        Taken { appended, spooled: self.spool.as_ref().map(|spool| spool.append(&order.payload)) }
    }

    fn now_us(&self) -> u64 {
        let (at, us) = self.started;
        us.saturating_add(u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

fn refusal(code: RpcStatusCode, why: impl Display) -> RpcStatus {
    RpcStatus::with_message(code, why.to_string())
}
