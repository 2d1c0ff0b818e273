//! Sends records over one stream, many in flight, and counts what comes back.
//!
//! A thread reads the input, because that may wait for ever. Sending and counting run as futures on
//! the thread that owns the connection, so that a message costs no change of threads; a refusal is
//! reported at once, also while the input waits. How many records are in flight is the server's to
//! say: beyond what it takes it stops reading, and then so does the input's thread.

use std::fmt;
use std::future::poll_fn;
use std::io::Read;
use std::pin::pin;
use std::thread;

use futures_channel::mpsc::{self, Receiver, SendError, Sender};
use futures_channel::oneshot;
use futures_executor::block_on;
use futures_util::future::{Either, select};
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{ClientDuplexReceiver, ClientDuplexSender, WriteFlags};
use thiserror::Error;

use super::records::{InputError, Records};
use crate::cli::client::connection::Connection;
use crate::cli::client::error::ClientError;
use crate::cli::error::CliError;
use crate::proto::log::{ProduceRequest, ProduceResponse, Record};

/// Records that were read and not yet sent. Each may be large.
const QUEUED_RECORDS_MAX: usize = 128;

/// What the server said is on its disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) records: u64,
    /// The first one's offset; other producers' records may lie between it and the last.
    pub(crate) first: Option<u64>,
    pub(crate) last: Option<u64>,
}

/// A record on its way.
type Message = (ProduceRequest, WriteFlags);
/// What was acknowledged when the call was over, and how it ended.
type Outcome = (Acknowledged, Result<(), grpcio::Error>);

/// Why the reading ended before the input did.
#[derive(Debug, Error)]
enum ReadError {
    #[error(transparent)]
    Input(#[from] InputError),
    /// The call is over; the server's answer says why.
    #[error("the call ended")]
    CallOver(#[from] SendError),
}

impl fmt::Display for Acknowledged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (Some(first), Some(last)) if first == last => {
                write!(f, "1 record acknowledged, offset {first}")
            }
            (Some(first), Some(last)) => {
                write!(f, "{} records acknowledged, offsets {first} to {last}", self.records)
            }
            _ => f.write_str("no records acknowledged"),
        }
    }
}

impl Acknowledged {
    fn add(&mut self, offset: u64) {
        self.records += 1;
        self.first.get_or_insert(offset);
        self.last = Some(offset);
    }
}

/// Appends all `records` and returns once the last is acknowledged.
pub(super) fn all<R: Read + Send + 'static>(
    connection: &Connection,
    records: Records<R>,
) -> Result<Acknowledged, CliError> {
    let client = &connection.client;
    let (sender, receiver) = client.produce_stream().map_err(|error| connection.explain(error))?;
    let (queue, queued) = mpsc::channel(QUEUED_RECORDS_MAX);
    let (outcome, counted) = oneshot::channel();
    client.spawn(async move {
        // It waits for the outcome until the process ends.
        let _ = outcome.send(exchange(sender, receiver, queued).await);
    });
    let reading = thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || read(records, queue))
        .map_err(CliError::Thread)?;
    let (acknowledged, ended) =
        block_on(counted).unwrap_or((Acknowledged::default(), Err(grpcio::Error::QueueShutdown)));
    if let Err(error) = ended {
        // The reading thread may wait for input for ever; it ends with the process.
        let why = Box::new(connection.explain(error));
        return Err(CliError::Produce { acknowledged, why });
    }
    match reading.join() {
        Ok(Ok(sent)) if sent == acknowledged.records => Ok(acknowledged),
        Ok(Ok(_) | Err(ReadError::CallOver(_))) => {
            Err(CliError::Produce { acknowledged, why: Box::new(ClientError::EndedEarly) })
        }
        Ok(Err(ReadError::Input(why))) => Err(CliError::Input { acknowledged, why }),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Reads until the input ends, and returns how many records there were.
fn read<R: Read>(mut records: Records<R>, mut queue: Sender<Message>) -> Result<u64, ReadError> {
    let mut sent = 0;
    while let Some(value) = records.next()? {
        // The core may hold a message back only if another follows without waiting.
        let flags = WriteFlags::default().buffer_hint(records.is_next_at_hand());
        let queued = block_on(poll_fn(|context| queue.poll_ready(context)));
        queued.and_then(|()| queue.start_send((request(value), flags)))?;
        sent += 1;
    }
    Ok(sent)
}

/// Sends what is queued and counts what comes back until the call is over.
async fn exchange(
    mut sender: ClientDuplexSender<ProduceRequest>,
    receiver: ClientDuplexReceiver<ProduceResponse>,
    queued: Receiver<Message>,
) -> Outcome {
    // The sender lives until the answer is there: dropped, it cancels the call, and that would take
    // the place of what the server says.
    match select(pin!(count(receiver)), pin!(send(&mut sender, queued))).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(((), counting)) => counting.await,
    }
}

/// Sends what is queued. Also after bad input the call is closed and not cut, so that what was sent
/// is answered.
async fn send(sender: &mut ClientDuplexSender<ProduceRequest>, mut queued: Receiver<Message>) {
    while let Some(message) = queued.next().await {
        if sender.feed(message).await.is_err() {
            // The call is over, and its answer says why.
            return;
        }
    }
    let _ = sender.close().await;
}

async fn count(mut receiver: ClientDuplexReceiver<ProduceResponse>) -> Outcome {
    let mut acknowledged = Acknowledged::default();
    while let Some(response) = receiver.next().await {
        match response {
            Ok(response) => acknowledged.add(response.offset),
            Err(error) => return (acknowledged, Err(error)),
        }
    }
    (acknowledged, Ok(()))
}

fn request(value: Vec<u8>) -> ProduceRequest {
    let record = Record { value: value.into(), ..Record::default() };
    ProduceRequest { record: Some(record).into(), ..ProduceRequest::default() }
}
