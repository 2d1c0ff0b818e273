//! Producers: each sends the same batch again and again, over a stream or call by call.
//!
//! They run on the thread that owns their connection, where a message costs the least.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_channel::mpsc::{self, Receiver, Sender};
use futures_timer::Delay;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use grpcio::{CallOption, Client, ClientDuplexReceiver, ClientDuplexSender, WriteFlags};

use super::batch::{Batch, Turns};
use super::meter::{Fault, Leaving, Meter};
use super::pace::{Due, Pace};
use super::wire::{PRODUCE, PRODUCE_STREAM, Payload};
use crate::proto::log_service::ProduceResponse;

/// The longest wait without a look whether the run is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// More late requests than these are not counted one by one.
const LATE_MAX: u64 = 10_000_000;
const NOT_THE_BATCH: Fault = Fault::Unfitting("an answer is about another number of records");
const NOT_IN_ORDER: Fault = Fault::Unfitting("a batch stands before one that was sent earlier");
const UNASKED: Fault = Fault::Unfitting("an answer came to nothing that was sent");

/// What one producer works with.
pub(super) struct Producer {
    pub(super) meter: Arc<Meter>,
    pub(super) turns: Arc<Turns>,
    pub(super) pace: Pace,
}

/// Sends over one stream, with at most `in_flight` batches unanswered, until the run is over.
pub(super) fn stream(producer: Producer, client: &Client, in_flight: usize) {
    let leaving = Leaving::of(&producer.meter);
    let opened = client.duplex_streaming(&PRODUCE_STREAM, CallOption::default());
    let (sink, replies) = match opened {
        Ok(opened) => opened,
        Err(error) => return producer.meter.fail(Fault::Call(error)),
    };
    // A bounded channel holds one more for each of its senders.
    let (window, sent) = mpsc::channel(in_flight.saturating_sub(1));
    // A stream is about one log.
    let (meter, batch) = (Arc::clone(&producer.meter), Arc::clone(producer.turns.next()));
    let sending = Arc::clone(&batch);
    client.spawn(async move {
        if let Err(fault) = receive(&meter, &batch, replies, sent).await {
            meter.fail(fault);
        }
        drop(leaving);
    });
    client.spawn(async move {
        // How the call ended its answers say.
        let _sent = producer.send(&sending, sink, window).await;
    });
}

/// Calls again and again, each time once the call before is answered, until the run is over.
pub(super) fn calls(mut producer: Producer, client: &Client) {
    let leaving = Leaving::of(&producer.meter);
    let calling = client.clone();
    client.spawn(async move {
        if let Err(fault) = producer.call_all(&calling).await {
            producer.meter.fail(fault);
        }
        drop(leaving);
    });
}

impl Producer {
    async fn send(
        mut self,
        batch: &Batch,
        mut sink: ClientDuplexSender<Payload>,
        mut window: Sender<Instant>,
    ) -> grpcio::Result<()> {
        sink.enhance_batch(true);
        loop {
            if !self.can_send_now(&mut window).await {
                sink.flush().await?;
            }
            let is_due = self.wait_until_due().await;
            let has_room = is_due && poll_fn(|cx| window.poll_ready(cx)).await.is_ok();
            if !has_room || self.meter.is_stopped() {
                break;
            }
            let due = self.take_due();
            if window.start_send(due).is_err() {
                break;
            }
            sink.feed((batch.payload(due), WriteFlags::default())).await?;
        }
        self.count_late();
        sink.close().await
    }

    async fn call_all(&mut self, client: &Client) -> Result<(), Fault> {
        while self.wait_until_due().await {
            let due = self.take_due();
            let batch = Arc::clone(self.turns.next());
            let payload = batch.payload(due);
            let call = client.unary_call_async(&PRODUCE, &payload, CallOption::default());
            let answered = async { call?.await }.await.map_err(Fault::Call)?;
            count(&self.meter, &batch, &answered, due)?;
        }
        self.count_late();
        Ok(())
    }

    /// Whether the next batch is due and there is room for it.
    async fn can_send_now(&self, window: &mut Sender<Instant>) -> bool {
        let is_due = match self.pace.due() {
            Due::Anytime => true,
            Due::At(at) => at <= Instant::now(),
        };
        is_due && poll_fn(|cx| Poll::Ready(window.poll_ready(cx).is_ready())).await
    }

    /// Waits until the next batch is due; `false` if the run ends before.
    async fn wait_until_due(&self) -> bool {
        while !self.meter.is_stopped() {
            let Due::At(at) = self.pace.due() else {
                return true;
            };
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            Delay::new(left.min(LOOK_EVERY)).await;
        }
        false
    }

    /// The moment from which the batch counts that is sent now.
    fn take_due(&mut self) -> Instant {
        let due = match self.pace.due() {
            Due::Anytime => Instant::now(),
            Due::At(at) => at,
        };
        self.pace.sent();
        self.meter.sent.fetch_add(1, Ordering::Relaxed);
        due
    }

    /// What was due before the end and could not be sent has waited for so long at least.
    fn count_late(&mut self) {
        let end = self.meter.stopped_at();
        while let Due::At(at) = self.pace.due()
            && at < end
            && self.meter.late.load(Ordering::Relaxed) < LATE_MAX
        {
            self.meter.produced.took(at);
            self.meter.late.fetch_add(1, Ordering::Relaxed);
            self.pace.sent();
        }
    }
}

async fn receive(
    meter: &Meter,
    batch: &Batch,
    mut replies: ClientDuplexReceiver<ProduceResponse>,
    mut sent: Receiver<Instant>,
) -> Result<(), Fault> {
    let mut next = 0;
    while let Some(reply) = replies.next().await {
        let reply = reply.map_err(Fault::Call)?;
        let due = sent.next().now_or_never().flatten().ok_or(UNASKED)?;
        if reply.base_offset < next {
            return Err(NOT_IN_ORDER);
        }
        next = reply.next_offset;
        count(meter, batch, &reply, due)?;
    }
    // Whoever ended it, the run was not over.
    if meter.is_stopped() { Ok(()) } else { Err(Fault::EndedEarly) }
}

fn count(meter: &Meter, batch: &Batch, reply: &ProduceResponse, due: Instant) -> Result<(), Fault> {
    if reply.next_offset.checked_sub(reply.base_offset) != Some(batch.records) {
        return Err(NOT_THE_BATCH);
    }
    meter.produced.took(due);
    meter.produced.count(batch.records, batch.bytes);
    Ok(())
}
