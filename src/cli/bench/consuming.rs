//! Consumers: one kind reads what a log holds, again and again, as fast as it comes; the other
//! waits at its end and takes down how old each batch of the run is when it arrives.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, abortable};
use grpcio::{CallOption, Client, MessageReader};
use protobuf::EnumOrUnknown;

use super::batch::Stamp;
use super::meter::{Fault, Leaving, Meter};
use super::walk::{Seen, Walk};
use super::wire::{CONSUME, CONSUME_STREAM};
use crate::proto::log_service::consume_request::Start;
use crate::proto::log_service::{ConsumeRequest, Edge};

/// The most that a reply may be asked to carry by a call.
const CALL_BYTES: u32 = 1 << 20;

/// What one consumer works with.
pub(super) struct Consumer {
    pub(super) meter: Arc<Meter>,
    pub(super) log: String,
    pub(super) reading: Reading,
}

/// What consumers read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    /// What the log holds, to its end as it is met; then it ends if `once`, or begins again.
    Held { unary: bool, once: bool },
    /// What comes from now on, among which are the batches that this run stamps.
    Coming(Stamp),
}

/// Reads until the run is over and the handle is used.
pub(super) fn start(consumer: Consumer, client: &Client) -> AbortHandle {
    let leaving = Leaving::of(&consumer.meter);
    let calling = client.clone();
    let (reading, handle) = abortable(async move {
        if let Err(fault) = consumer.read(&calling).await {
            consumer.meter.fail(fault);
        }
    });
    client.spawn(async move {
        // Dropped with the reading, the call is cancelled.
        let _aborted = reading.await;
        drop(leaving);
    });
    handle
}

impl Consumer {
    async fn read(&self, client: &Client) -> Result<(), Fault> {
        loop {
            match self.reading {
                Reading::Held { unary: true, .. } => self.call_all(client).await?,
                Reading::Held { .. } => self.stream_all(client).await?,
                Reading::Coming(stamp) => return self.tail(client, stamp).await,
            }
            let once = matches!(self.reading, Reading::Held { once: true, .. });
            if once || self.meter.is_stopped() {
                return Ok(());
            }
        }
    }

    fn request(&self, start: Start) -> ConsumeRequest {
        ConsumeRequest { log: self.log.clone(), start: Some(start), ..ConsumeRequest::default() }
    }

    /// Reads from the start to the end over one stream.
    async fn stream_all(&self, client: &Client) -> Result<(), Fault> {
        let request = self.request(edge(Edge::EDGE_EARLIEST));
        let mut replies = client
            .server_streaming(&CONSUME_STREAM, &request, CallOption::default())
            .map_err(Fault::Call)?;
        let (mut walk, mut buffer) = (Walk::new(None), Vec::new());
        let mut asked = Instant::now();
        while let Some(reply) = replies.next().await {
            let seen = look(&mut walk, reply.map_err(Fault::Call)?, &mut buffer)?;
            self.count_held(&seen, &mut asked)?;
            if seen.next_offset >= seen.high_watermark {
                return Ok(());
            }
        }
        Err(Fault::EndedEarly)
    }

    /// Reads from the start to the end, call by call.
    async fn call_all(&self, client: &Client) -> Result<(), Fault> {
        let (mut walk, mut buffer) = (Walk::new(None), Vec::new());
        while !self.meter.is_stopped() {
            let start = walk.next().map_or(edge(Edge::EDGE_EARLIEST), Start::Offset);
            let request = ConsumeRequest { max_bytes: CALL_BYTES, ..self.request(start) };
            let mut asked = Instant::now();
            let call = client.unary_call_async(&CONSUME, &request, CallOption::default());
            let reply = async { call?.await }.await.map_err(Fault::Call)?;
            let seen = look(&mut walk, reply, &mut buffer)?;
            self.count_held(&seen, &mut asked)?;
            if seen.next_offset >= seen.high_watermark {
                break;
            }
        }
        Ok(())
    }

    /// Counts a reply that was waited for since `asked`.
    fn count_held(&self, seen: &Seen, asked: &mut Instant) -> Result<(), Fault> {
        if seen.records == 0 {
            return Err(Fault::EmptyLog);
        }
        self.meter.consumed.took(*asked);
        self.meter.consumed.count(seen.records, seen.bytes);
        *asked = Instant::now();
        Ok(())
    }

    /// Reads what comes from now on, for ever.
    async fn tail(&self, client: &Client, stamp: Stamp) -> Result<(), Fault> {
        let request = self.request(edge(Edge::EDGE_LATEST));
        let mut replies = client
            .server_streaming(&CONSUME_STREAM, &request, CallOption::default())
            .map_err(Fault::Call)?;
        let (mut walk, mut buffer) = (Walk::new(Some(stamp)), Vec::new());
        let mut is_first = true;
        while let Some(reply) = replies.next().await {
            let seen = look(&mut walk, reply.map_err(Fault::Call)?, &mut buffer)?;
            if std::mem::take(&mut is_first) {
                self.meter.ready.fetch_add(1, Ordering::AcqRel);
            }
            seen.stamped.iter().for_each(|due| self.meter.consumed.took(*due));
            if seen.records > 0 {
                self.meter.consumed.count(seen.records, seen.bytes);
            }
        }
        Err(Fault::EndedEarly)
    }
}

fn edge(edge: Edge) -> Start {
    Start::Edge(EnumOrUnknown::new(edge))
}

/// Walks a reply, which is copied together in a buffer that is used again and again.
fn look(walk: &mut Walk, mut reply: MessageReader, buffer: &mut Vec<u8>) -> Result<Seen, Fault> {
    buffer.clear();
    // It walks memory and has no way to fail; were it to, the walk would find records missing.
    let _read = reply.read_to_end(buffer);
    walk.reply(buffer).map_err(Fault::Unfitting)
}
